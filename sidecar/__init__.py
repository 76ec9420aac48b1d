"""Keeps one Telegram session connected beside your application, and tells the truth about it.

Public names, for programs that want the keeper inside themselves instead of beside them:

* `get_telegram_client()` lends the connected client of the one manager of this process.
* `TelegramClientManager` is that manager, for programs that want to own it.
* `TelegramUnavailableError` says why there is no client now.
* `Settings` and `load_settings()` configure it; `SettingsError` says what is wrong with them.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Settings",
    "SettingsError",
    "TelegramClientManager",
    "TelegramUnavailableError",
    "__version__",
    "get_telegram_client",
    "load_settings",
]

if TYPE_CHECKING:
    from sidecar.manager import TelegramClientManager, TelegramUnavailableError, get_telegram_client
    from sidecar.settings import Settings, SettingsError, load_settings

_HOMES = {
    "Settings": "sidecar.settings",
    "SettingsError": "sidecar.settings",
    "load_settings": "sidecar.settings",
    "TelegramClientManager": "sidecar.manager",
    "TelegramUnavailableError": "sidecar.manager",
    "get_telegram_client": "sidecar.manager",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `--version` must not wait for Telethon."""
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415 - see above

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
