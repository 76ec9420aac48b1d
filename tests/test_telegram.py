"""The translation of errors: what Telethon, the network and Telegram can throw, and the verdict on each."""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import struct
import zlib

import pytest
from telethon import errors, functions, types

from sidecar.link import LOSSES, REFUSALS, LinkBusy, LinkError, LinkLost, LinkRefused, Reason
from sidecar.telegram.proxy import ProxyFault
from sidecar.telegram.verdicts import TRANSPORT_FLOOD_WAIT, UNKNOWN_KEY_WAIT, UNTIMED_FLOOD_WAIT, verdict

GET_ME = functions.users.GetUsersRequest([types.InputUserSelf()])


def told(code: int, message: str) -> Exception:
    """Return the exception that Telethon makes of an answer of Telegram."""
    error: Exception = errors.rpc_message_to_error(types.RpcError(code, message), GET_ME)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "reason", "wait"),
    [
        pytest.param(asyncio.IncompleteReadError(b"", 8), LinkLost, Reason.CLOSED, 0, id="FIN"),
        pytest.param(ConnectionResetError(), LinkLost, Reason.RESET, 0, id="RST"),
        pytest.param(BrokenPipeError(), LinkLost, Reason.RESET, 0, id="EPIPE"),
        pytest.param(ConnectionAbortedError(), LinkLost, Reason.RESET, 0, id="aborted"),
        pytest.param(ConnectionError("Not connected"), LinkLost, Reason.CLOSED, 0, id="Telethon's own"),
        pytest.param(ConnectionRefusedError(), LinkLost, Reason.UNREACHABLE, 0, id="refused"),
        pytest.param(OSError(errno.EHOSTUNREACH, "no route"), LinkLost, Reason.UNREACHABLE, 0, id="no route"),
        pytest.param(socket.gaierror(), LinkLost, Reason.UNREACHABLE, 0, id="name"),
        pytest.param(ProxyFault(Reason.PROXY_FAILED, ""), LinkLost, Reason.PROXY_FAILED, 0, id="proxy"),
        pytest.param(TimeoutError(), LinkLost, Reason.UNREACHABLE, 0, id="ETIMEDOUT"),
        pytest.param(told(420, "FLOOD_WAIT_17"), LinkBusy, Reason.FLOOD_WAIT, 17, id="flood wait"),
        pytest.param(told(420, "FLOOD_PREMIUM_WAIT_9"), LinkBusy, Reason.FLOOD_WAIT, 9, id="premium"),
        pytest.param(told(420, "FLOOD"), LinkBusy, Reason.FLOOD_WAIT, UNTIMED_FLOOD_WAIT, id="untimed flood"),
        pytest.param(told(500, "INTERNAL"), LinkBusy, Reason.SERVER_ERROR, 0, id="500"),
        pytest.param(told(-500, "No workers running"), LinkBusy, Reason.SERVER_ERROR, 0, id="-500"),
        pytest.param(told(-503, "Timeout"), LinkBusy, Reason.SERVER_ERROR, 0, id="-503"),
        pytest.param(told(303, "USER_MIGRATE_4"), LinkLost, Reason.MIGRATED, 0, id="303"),
        pytest.param(told(403, "SOMETHING_NEW"), LinkBusy, Reason.PROTOCOL, 0, id="a new 403"),
        pytest.param(told(400, "INPUT_METHOD_INVALID"), LinkBusy, Reason.PROTOCOL, 0, id="old layer's method"),
        pytest.param(
            errors.TypeNotFoundError(0xDEADBEEF, b"+15550100"), LinkBusy, Reason.PROTOCOL, 0, id="unknown type"
        ),
        pytest.param(errors.AuthKeyNotFound(), LinkLost, Reason.UNKNOWN_KEY, UNKNOWN_KEY_WAIT, id="-404"),
        pytest.param(
            errors.InvalidBufferError((-429).to_bytes(4, "little", signed=True)),
            LinkLost,
            Reason.TRANSPORT_FLOOD,
            TRANSPORT_FLOOD_WAIT,
            id="-429",
        ),
        pytest.param(errors.InvalidBufferError(b"\x01\x02"), LinkLost, Reason.PROTOCOL, 0, id="junk"),
        pytest.param(errors.InvalidChecksumError(1, 2), LinkLost, Reason.PROTOCOL, 0, id="checksum"),
        pytest.param(errors.SecurityError(), LinkLost, Reason.PROTOCOL, 0, id="security"),
        pytest.param(errors.BadMessageError(GET_ME, 33), LinkLost, Reason.PROTOCOL, 0, id="bad message"),
        pytest.param(ValueError(), LinkLost, Reason.PROTOCOL, 0, id="ValueError"),
        pytest.param(IndexError(), LinkLost, Reason.PROTOCOL, 0, id="IndexError"),
        pytest.param(RuntimeError("Invalid boolean code 0x1"), LinkLost, Reason.PROTOCOL, 0, id="no boolean"),
        pytest.param(gzip.BadGzipFile("b'+1'"), LinkLost, Reason.PROTOCOL, 0, id="no gzip"),
        pytest.param(zlib.error(), LinkLost, Reason.PROTOCOL, 0, id="broken gzip"),
        pytest.param(EOFError(), LinkLost, Reason.PROTOCOL, 0, id="half a gzip"),
        pytest.param(struct.error(), LinkLost, Reason.PROTOCOL, 0, id="a frame shorter than its checksum"),
        pytest.param(KeyError("what"), LinkLost, Reason.UNEXPECTED, 0, id="anything else"),
    ],
)
def test_what_may_be_tried_again(error: Exception, kind: type[LinkError], reason: Reason, wait: float) -> None:
    """A loss has a reason of the losses, and says how long to stay away."""
    judged = verdict(error)

    assert type(judged) is kind
    assert (judged.reason, judged.wait) == (reason, wait)
    assert reason in LOSSES


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (401, "AUTH_KEY_UNREGISTERED", Reason.UNREGISTERED),
        (401, "SESSION_REVOKED", Reason.REVOKED),
        (401, "SESSION_EXPIRED", Reason.EXPIRED),
        (401, "USER_DEACTIVATED", Reason.DEACTIVATED),
        (401, "USER_DEACTIVATED_BAN", Reason.BANNED),
        (401, "AUTH_KEY_INVALID", Reason.UNAUTHORIZED),
        (401, "SESSION_PASSWORD_NEEDED", Reason.UNAUTHORIZED),
        (401, "SOMETHING_NEW", Reason.UNAUTHORIZED),
        (406, "AUTH_KEY_DUPLICATED", Reason.DUPLICATED),
        (400, "API_ID_INVALID", Reason.BAD_API_CREDENTIALS),
        (400, "CONNECTION_API_ID_INVALID", Reason.BAD_API_CREDENTIALS),
        (400, "API_ID_PUBLISHED_FLOOD", Reason.BAD_API_CREDENTIALS),
        (406, "UPDATE_APP_TO_LOGIN", Reason.UPDATE_REQUIRED),
        (400, "INPUT_LAYER_INVALID", Reason.UPDATE_REQUIRED),
    ],
)
def test_what_only_a_person_can_mend(code: int, message: str, reason: Reason) -> None:
    """A refusal has a reason of the refusals."""
    judged = verdict(told(code, message))

    assert type(judged) is LinkRefused
    assert judged.reason is reason
    assert reason in REFUSALS


def every_error_of_telethon() -> list[type[Exception]]:
    """Return every class of error that Telethon exports."""
    exported = [getattr(errors, name) for name in dir(errors)]
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Exception)}
    kinds -= {errors.MultiError}  # about several requests at once, of which we never make any
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", every_error_of_telethon())
def test_every_error_of_telethon_has_a_verdict(kind: type[Exception]) -> None:
    """Whatever Telethon can raise gets a verdict with a reason of the closed set, and a line free of its content."""
    try:
        error = kind(GET_ME)
    except TypeError:
        error = kind.__new__(kind)
        error.args = ("+15550100",)
    judged = verdict(error)

    assert isinstance(judged, LinkError)
    assert judged.reason in Reason
    assert "+15550100" not in judged.detail


def test_an_unreadable_answer_is_not_quoted() -> None:
    """Telethon's error about an unknown type quotes the answer, which may hold a phone number; the verdict does not."""
    assert "15550100" not in verdict(errors.TypeNotFoundError(0xDEADBEEF, b"+15550100")).detail
