"""What a person can do about each reason. Words only: the log, the health answers and the runbook share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.link import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG_IN_AGAIN = "Log in again and replace the session string; only one in a variable or .env needs a restart then."

REMEDIES: Mapping[Reason, str] = {
    Reason.CLOSED: "Nothing to do: it is dialled again.",
    Reason.RESET: "Nothing to do: it is dialled again. If it recurs, look at what sits between us and Telegram.",
    Reason.UNREACHABLE: "Check the pod's egress (NetworkPolicy, DNS, routes) to the data centre in the session.",
    Reason.PROXY_UNREACHABLE: "Check host and port in SIDECAR_PROXY, that the proxy runs, and the pod's egress to it.",
    Reason.PROXY_TIMEOUT: "Look whether the proxy hangs, or its way to Telegram; a wrong mtproxy secret looks so, too.",
    Reason.PROXY_UNAUTHORIZED: "Correct user and password in SIDECAR_PROXY; there / is %2F, @ is %40, % is %25.",
    Reason.PROXY_FAILED: "Look at the proxy: it must be of the kind in SIDECAR_PROXY, and allowed to reach Telegram.",
    Reason.CONNECT_TIMEOUT: "Check the pod's egress: a firewall that drops packets looks so; so does a wrong clock.",
    Reason.PING_TIMEOUT: "Nothing to do: it is dialled again. If it recurs, look for packet loss or a starved node.",
    Reason.WATCHDOG_TIMEOUT: "Nothing to do: it is dialled again. If it recurs, look at the clock.",
    Reason.FLOOD_WAIT: "Wait. A restart does not shorten it; asking meanwhile lengthens it.",
    Reason.SERVER_ERROR: "Wait: the fault is Telegram's.",
    Reason.TRANSPORT_FLOOD: "Find what else opens connections from this address; the next attempt comes in minutes.",
    Reason.UNKNOWN_KEY: "Check that the session string is whole and of this data centre; if it is, log in again.",
    Reason.MIGRATED: "The account has moved: log in again and replace the session string.",
    Reason.PROTOCOL: "Check for a captive portal or proxy on the way, and the node's clock.",
    Reason.CREDENTIALS_CHANGED: "Nothing to do: the new credentials are being used.",
    Reason.UNEXPECTED: "Report the traceback in the log as a defect; it is dialled again meanwhile.",
    Reason.UNREGISTERED: _LOG_IN_AGAIN,
    Reason.REVOKED: _LOG_IN_AGAIN,
    Reason.EXPIRED: _LOG_IN_AGAIN,
    Reason.DEACTIVATED: "The account no longer exists; use another one.",
    Reason.BANNED: "The account is banned; appeal to Telegram or use another one.",
    Reason.DUPLICATED: "Find and stop the second user of this session. " + _LOG_IN_AGAIN,
    Reason.UNAUTHORIZED: _LOG_IN_AGAIN,
    Reason.BAD_API_CREDENTIALS: "Compare API_ID and API_HASH with my.telegram.org.",
    Reason.UPDATE_REQUIRED: "Install a newer release of this program.",
}
"""Reason → what to do, in one or two sentences."""
