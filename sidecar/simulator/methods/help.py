"""help.*: what a client has to know about the data centres.

Source: https://core.telegram.org/api/datacenter
"""

from typing import Any

from telethon.tl import functions, types

from sidecar.simulator.methods.table import Call, method

_VALID_SECONDS = 3600
"""After this a client should ask again."""


@method(functions.help.GetConfigRequest, needs_login=False)
def get_config(call: Call) -> Any:
    """The configuration, with the server's clock. Every data centre in it is this simulator."""
    dc = call.dc
    now = int(dc.now())
    ipv6 = ":" in dc.host
    here = [
        types.DcOption(id=number, ip_address=dc.host, port=dc.port, ipv6=ipv6, static=True)
        for number in sorted({1, 2, 3, 4, 5, dc.dc_id})
    ]
    return types.Config(
        date=now,
        expires=now + _VALID_SECONDS,
        test_mode=False,
        this_dc=dc.dc_id,
        dc_options=here,
        tmp_sessions=dc.tmp_sessions,
        # The rest has no meaning here; the values are the usual ones.
        dc_txt_domain_name="",
        chat_size_max=200,
        megagroup_size_max=200_000,
        forwarded_count_max=100,
        online_update_period_ms=210_000,
        offline_blur_timeout_ms=5_000,
        offline_idle_timeout_ms=30_000,
        online_cloud_timeout_ms=300_000,
        notify_cloud_delay_ms=30_000,
        notify_default_delay_ms=1_500,
        push_chat_period_ms=60_000,
        push_chat_limit=2,
        edit_time_limit=172_800,
        revoke_time_limit=172_800,
        revoke_pm_time_limit=172_800,
        rating_e_decay=2_419_200,
        stickers_recent_limit=200,
        channels_read_media_period=604_800,
        call_receive_timeout_ms=20_000,
        call_ring_timeout_ms=90_000,
        call_connect_timeout_ms=30_000,
        call_packet_timeout_ms=10_000,
        me_url_prefix="https://t.me/",
        caption_length_max=1024,
        message_length_max=4096,
        webfile_dc_id=dc.dc_id,
    )
