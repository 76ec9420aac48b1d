"""What Telethon, the network and Telegram can throw, and the verdict on each: the one place where errors are judged."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib

from telethon import errors

from sidecar.link import LinkBusy, LinkError, LinkLost, LinkRefused, Reason
from sidecar.telegram.proxy import ProxyFault

TRANSPORT_FLOOD_WAIT = 120.0
"""Seconds to stay away after transport error -429 (too many connections): the next ones would only prolong it."""

UNKNOWN_KEY_WAIT = 120.0
"""Seconds to stay away after transport error -404 (unknown auth key): a passing fault of theirs needs minutes."""

UNTIMED_FLOOD_WAIT = 60.0
"""Seconds to hold back after a flood error that does not say how long."""

_REFUSED: tuple[tuple[type[Exception], Reason, str], ...] = (
    (errors.AuthKeyUnregisteredError, Reason.UNREGISTERED, "the session is not (or no longer) logged in"),
    (errors.SessionRevokedError, Reason.REVOKED, "the session was ended by its owner"),
    (errors.SessionExpiredError, Reason.EXPIRED, "the session expired"),
    (errors.UserDeactivatedBanError, Reason.BANNED, "the account is banned"),
    (errors.UserDeactivatedError, Reason.DEACTIVATED, "the account is deleted or deactivated"),
    (
        errors.AuthKeyDuplicatedError,
        Reason.DUPLICATED,
        "the session was used over two connections at once and is dead",
    ),
    (errors.UnauthorizedError, Reason.UNAUTHORIZED, "Telegram does not accept the session"),
    (errors.ApiIdInvalidError, Reason.BAD_API_CREDENTIALS, "API_ID and API_HASH do not belong together"),
    (errors.ConnectionApiIdInvalidError, Reason.BAD_API_CREDENTIALS, "Telegram does not know API_ID"),
    (errors.ApiIdPublishedFloodError, Reason.BAD_API_CREDENTIALS, "API_ID is a published one and blocked"),
    (errors.UpdateAppToLoginError, Reason.UPDATE_REQUIRED, "Telegram asks for a newer client"),
    (errors.InputLayerInvalidError, Reason.UPDATE_REQUIRED, "Telegram no longer speaks this client's layer"),
)

_TRANSIENT = (
    errors.ServerError,
    errors.TimedOutError,
    errors.RpcCallFailError,
    errors.RpcMcgetFailError,
    errors.InterdcCallErrorError,
    errors.InterdcCallRichErrorError,
)
"""What Telethon itself takes for an internal fault of Telegram."""

_UNREADABLE = (
    errors.BadMessageError,
    errors.InvalidChecksumError,
    errors.SecurityError,
    gzip.BadGzipFile,  # an OSError, and one that quotes the answer
    zlib.error,
    struct.error,
    BufferError,
    EOFError,
    IndexError,
    ValueError,
)
"""What Telethon raises over bytes that make no sense."""


def verdict(error: Exception) -> LinkError:
    """Translate an error of Telethon, of the network or of Telegram into a verdict.

    The details name the error's class, and its text only where that is known to be free of secrets: an error about an
    unreadable answer, for one, quotes the answer.
    """
    name = type(error).__name__
    for kind, reason, meaning in _REFUSED:
        if isinstance(error, kind):
            return LinkRefused(reason, f"{meaning} ({name})")
    match error:
        case ProxyFault():
            return LinkLost(error.reason, error.detail)
        case errors.FloodError():
            seconds = float(getattr(error, "seconds", UNTIMED_FLOOD_WAIT))
            return LinkBusy(Reason.FLOOD_WAIT, f"Telegram asks to hold back for {seconds:g} s ({name})", wait=seconds)
        case _ if isinstance(error, _TRANSIENT):
            return LinkBusy(Reason.SERVER_ERROR, f"Telegram has a fault of its own ({name})")
        case errors.InvalidDCError():
            return LinkLost(Reason.MIGRATED, f"the account lives in another data centre ({name})")
        case errors.RPCError() | errors.TypeNotFoundError():
            return LinkBusy(Reason.PROTOCOL, f"Telegram answered with something unexpected ({name})")
        case errors.AuthKeyNotFound() | errors.InvalidBufferError(code=404):
            return LinkLost(Reason.UNKNOWN_KEY, "Telegram does not know the auth key (-404)", wait=UNKNOWN_KEY_WAIT)
        case errors.InvalidBufferError(code=429):
            too_many = "Telegram says too many connections (-429)"
            return LinkLost(Reason.TRANSPORT_FLOOD, too_many, wait=TRANSPORT_FLOOD_WAIT)
        case asyncio.IncompleteReadError():
            return LinkLost(Reason.CLOSED, "Telegram closed the connection")
        case _ if isinstance(error, _UNREADABLE):
            return LinkLost(Reason.PROTOCOL, f"something unreadable on the wire ({name})")
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return LinkLost(Reason.RESET, f"the connection was reset ({name})")
        case ConnectionRefusedError() | socket.gaierror():
            return LinkLost(Reason.UNREACHABLE, f"the data centre cannot be reached ({error})")
        case ConnectionError():
            return LinkLost(Reason.CLOSED, f"the connection is closed ({name})")
        case OSError():
            return LinkLost(Reason.UNREACHABLE, f"the data centre cannot be reached ({error})")
        case RuntimeError() if str(error).startswith("Invalid boolean code"):  # Telethon's reader has no better word
            return LinkLost(Reason.PROTOCOL, f"something unreadable on the wire ({name})")
        case _:
            return LinkLost(Reason.UNEXPECTED, f"{name}, which nobody expected; see the traceback")
