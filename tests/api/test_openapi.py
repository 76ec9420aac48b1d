"""The description of the api listener: complete, and kept to."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import PositiveDataAcceptanceConfig, SchemathesisConfig
from schemathesis.config._checks import NegativeDataRejectionConfig

from sidecar import __version__
from sidecar.api.asked import TIMEOUT_PATTERN
from sidecar.api.openapi import describe
from sidecar.http.lending import serve_api
from sidecar.log import logger
from sidecar.manager import TelegramClientManager
from sidecar.settings import Settings
from sidecar.simulator import DataCentre
from sidecar.simulator.chats import Member
from tests.api.conftest import Api
from tests.rig import API_HASH

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = 40
"""Requests of each kind."""

config = SchemathesisConfig()
accepted = PositiveDataAcceptanceConfig(expected_statuses=["2xx", "401", "403", "404", "409", "422", "429"])
config.projects.default.checks.positive_data_acceptance = accepted  # what is empty without its marks is a 422
rejected = NegativeDataRejectionConfig(
    expected_statuses=["400", "401", "403", "404", "405", "413", "415", "422", "429"]
)
config.projects.default.checks.negative_data_rejection = rejected
schema = schemathesis.openapi.from_dict(describe(__version__), config=config)
calls = schema.exclude(path="/telegram/updates")  # whose good answer has no end


def serving(url: list[str], ready: threading.Event, stop: threading.Event) -> None:
    """Run the listener, the keeper and the simulator in a loop of their own; for schemathesis calls from outside."""

    async def run() -> None:
        async with DataCentre() as dc:
            session = dc.create_session()
            dc.chats.add_channel("news", members={session.account.user_id: Member.editor()})
            given: dict[str, Any] = {"api_id": 1, "api_hash": API_HASH, "session_string": session.string}
            chosen = Settings(**given, api_port=0, channel_url="@news")
            async with TelegramClientManager(chosen) as manager:
                await manager.get_client()

                def bound(where: str) -> None:
                    url.append(where)
                    ready.set()

                listening = asyncio.create_task(serve_api(chosen, manager, lambda *_: None, log=logger(), bound=bound))
                await asyncio.to_thread(stop.wait)
                listening.cancel()
                await asyncio.wait([listening])

    asyncio.run(run())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where it listens."""
    where: list[str] = []
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=serving, args=(where, ready, stop))
    thread.start()
    ready.wait(20)
    yield where[0]
    stop.set()
    thread.join()


@pytest.mark.slow
@calls.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_nothing_is_answered_that_is_not_described(case: schemathesis.Case[Any], url: str) -> None:
    """Good requests and bad ones: no server error, and no status, type, header or body beyond the description."""
    headers: Any = case.headers or {}
    wait = headers.get("Request-Timeout", "")
    if re.fullmatch(TIMEOUT_PATTERN, wait):
        del headers["Request-Timeout"]  # a few milliseconds are a good request, and earn a good 504
    case.call_and_validate(base_url=url, timeout=20)


async def test_the_description_is_served(api: Api) -> None:
    """As OpenAPI 3.1, made of the models that validate."""
    api.rig.slack = 5
    await api.start()
    answer = await api.ask("GET", "/openapi.json")

    assert (answer.status, answer.body) == (200, describe(__version__))
    assert answer.body["openapi"].startswith("3.1.")
    body = answer.body["components"]["schemas"]["NewMessage"]
    assert set(body["properties"]) == {"chat", "text", "parse_mode", "reply_to", "silent", "link_preview"}
    assert (body["required"], body["additionalProperties"]) == (["text"], False)


async def test_every_route_is_described(api: Api) -> None:
    """A call that is not in the description does not exist."""
    api.rig.slack = 5
    await api.start()
    for path, described in describe(__version__)["paths"].items():
        allowed = await api.ask("OPTIONS", path.replace("{id}", "1"))
        methods = {method.upper() for method in described if method != "parameters"}
        assert set(allowed.headers["Allow"].split(", ")) - {"HEAD"} == methods
