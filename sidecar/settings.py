"""Every setting: its name, unit, default, bounds and reason. The only reader of the environment and of `.env`.

The texts below are the documentation: `run --help` and docs/settings.md are generated from them. A value comes from,
each overriding the ones before it: a directory of secret files (read by `credentials`, because it is watched),
a `.env` file in the working directory, the environment, command-line flags.

What the service manager tells a process that it starts is no setting, and is read by `load_service_manager`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sidecar.address import is_loopback
from sidecar.proxy import EXTRA, read_proxy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dotenv.parser import Binding
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

PREFIX = "SIDECAR_"
ENV_FILE = ".env"
DEMO_FLAGS = ("host", "port", "api_host", "api_port", "api_socket", "environment", "log_level", "log_format")
DEMO_PACE = {"environment": "demo", "watchdog_interval": "10", "watchdog_timeout": "5", "log_format": "console"}
"""What a demo may be told, and what it sets by itself: faults that only a check finds must not take a minute."""
CREDENTIAL_NAMES = ("API_ID", "API_HASH", "SESSION_STRING")

# ----------------------------------------------------------------------------------------------------- kinds of value


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _no_service_link(value: object) -> object:
    if isinstance(value, str) and value.startswith("tcp://"):
        # What Kubernetes sets SIDECAR_PORT to in every pod beside a Service named "sidecar".
        raise ValueError("a link to a Service, for want of enableServiceLinks: false in the pod")
    return value


def _api_hash(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", value.get_secret_value()):
        raise ValueError("not 32 hexadecimal digits")
    return value


def _proxy(value: SecretStr) -> SecretStr:
    read_proxy(value.get_secret_value())
    return value


def _channel(value: str) -> str:
    if not re.fullmatch(r"(https?://)?(t|telegram)\.me/\S+|@\w+|-?\d+", value):
        raise ValueError("not a channel")
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("not an absolute path")
    return value


Switch = Annotated[bool, BeforeValidator(_lower)]
ApiId = Annotated[int, Field(gt=0, lt=2**31)]  # a signed 32-bit number on the wire
ApiHash = Annotated[SecretStr, BeforeValidator(_stripped), AfterValidator(_api_hash)]
Secret = Annotated[SecretStr, BeforeValidator(_stripped)]
Proxy = Annotated[SecretStr, BeforeValidator(_stripped), AfterValidator(_proxy)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Port = Annotated[int, BeforeValidator(_no_service_link), Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0.1, le=86_400, allow_inf_nan=False)]
"""From a tenth of a second, below which pings and retries would harm somebody, to a day."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Channel = Annotated[str, BeforeValidator(_stripped), AfterValidator(_channel)]

# ---------------------------------------------------------------------------------------------------------- settings


class Settings(BaseSettings):
    """The settings of one process, complete and checked; they never change (credentials in files may)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    api_id: ApiId | None = Field(
        default=None,
        validation_alias="API_ID",
        title="a whole number, 1 to 2147483647",
        description="Identifies the application to Telegram; from my.telegram.org.",
    )
    api_hash: ApiHash | None = Field(
        default=None,
        validation_alias="API_HASH",
        title="32 hexadecimal digits",
        description="The secret that belongs to API_ID.",
    )
    session_string: Secret | None = Field(
        default=None,
        validation_alias="SESSION_STRING",
        title="a Telethon StringSession",
        description="The session. It is the account: whoever has it, has the account.",
    )
    channel_url: Channel | None = Field(
        default=None,
        validation_alias="CHANNEL_URL",
        title="https://t.me/name, @name or an id",
        description="The channel that the application works with. `check` tells whether the account may post there.",
    )
    environment: Name = Field(
        default="production",
        validation_alias="ENVIRONMENT",
        title="a name",
        description="Shown in logs and in /healthz.",
    )

    secrets_dir: AbsolutePath | None = Field(
        default=None,
        title="an absolute path",
        description="Directory with the files api_id, api_hash, session_string, api_token and proxy: a mounted Secret. "
        "It is watched: changes apply within 10 s, without a restart.",
    )
    host: Name = Field(
        default="127.0.0.1",
        title="an address or host name",
        description="Where the ops listener (probes and metrics) listens.",
    )
    port: Port = Field(
        default=9877,
        title="0 to 65535; 0 takes any free port",
        description="Port of the ops listener.",
    )
    api_host: Name = Field(
        default="127.0.0.1",
        title="an address or host name",
        description="Where the api listener, for the application's own calls, listens. Beyond this machine nobody is "
        "answered without SIDECAR_API_TOKEN.",
    )
    api_port: Port = Field(
        default=9878,
        title="0 to 65535; 0 takes any free port",
        description="Port of the api listener.",
    )
    api_socket: AbsolutePath | None = Field(
        default=None,
        title="an absolute path",
        description="Unix socket of the api listener, instead of a port; its mode is 0660.",
    )
    api_token: Secret | None = Field(
        default=None,
        title="any text",
        description="Bearer token that the api listener asks for. Without one, whoever can connect can use the "
        "account.",
    )
    api_updates: Switch = Field(
        default=False,
        title="true or false",
        description="Whether to receive updates from the start, for /telegram/updates. Otherwise from the first "
        "listener on.",
    )
    ping_interval: Annotated[Seconds, Field(le=60)] = Field(
        default=3,
        title="seconds, 0.1 to 60",
        description="Time from one answered ping to the next. With SIDECAR_PING_TIMEOUT it bounds how long a dead "
        "connection can pass for a live one.",
    )
    ping_timeout: Annotated[Seconds, Field(le=60)] = Field(
        default=3,
        title="seconds, 0.1 to 60",
        description="Deadline of a ping; a connection that misses one is given up.",
    )
    watchdog_interval: Seconds = Field(
        default=60,
        title="seconds, more than SIDECAR_WATCHDOG_TIMEOUT, up to 86400",
        description="Time between two get_me checks, give or take 10 %. They find revoked and banned sessions, which "
        "pings cannot. Telegram answers frequent ones with flood waits.",
    )
    watchdog_timeout: Annotated[Seconds, Field(gt=2)] = Field(
        default=10,
        title="seconds, above 2, up to 86400",
        description="Deadline of a get_me check. Telethon holds a server error back for 2 s: with less, every such "
        "error would pass for a timeout.",
    )
    connect_timeout: Annotated[Seconds, Field(gt=2)] = Field(
        default=15,
        title="seconds, above 2, up to 86400",
        description="Deadline of an attempt, from dialling to the answered get_me.",
    )
    backoff_base: Seconds = Field(
        default=0.5,
        title="seconds, 0.1 to 86400",
        description="Longest delay after the first failed attempt; it doubles with every further one.",
    )
    backoff_max: Seconds = Field(
        default=30,
        title="seconds, at least SIDECAR_BACKOFF_BASE, up to 86400",
        description="Longest delay between two attempts, flood waits aside.",
    )
    shutdown_timeout: Seconds = Field(
        default=5,
        title="seconds, 0.1 to 86400",
        description="How long the connection may take to close after SIGTERM.",
    )
    state_dir: AbsolutePath | None = Field(
        default=None,
        title="an absolute path",
        description="Directory (an emptyDir) that remembers a flood wait across restarts of the container, and which "
        "messages were sent. Without it, a restart may come too early.",
    )
    proxy: Proxy | None = Field(
        default=None,
        title="socks5://user:pass@host:port, http://user:pass@host:port or mtproxy://secret@host:port",
        description=f"Proxy to dial Telegram through. Needs {EXTRA} to be installed: without it nothing is dialled, "
        "rather than around the proxy. User, password and secret may be percent-encoded. An mtproxy's secret is "
        "that of its link, plain or dd, in hexadecimal or base64; fake TLS (ee) is not supported.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info",
        title="debug, info, warning or error",
        description="Least level that is logged.",
    )
    log_format: Annotated[Literal["json", "console"], BeforeValidator(_lower)] = Field(
        default="json",
        title="json or console",
        description="json: one JSON object a line; console: lines for people.",
    )

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in values.items() if not isinstance(value, str) or value.strip()}

    @model_validator(mode="after")
    def _relations(self) -> Self:
        faults = []
        if self.backoff_max < self.backoff_base:
            faults.append(
                f"SIDECAR_BACKOFF_MAX: {self.backoff_max:g}, less than SIDECAR_BACKOFF_BASE; "
                f"accepted: {self.backoff_base:g} or more"
            )
        if self.watchdog_interval <= self.watchdog_timeout:
            faults.append(
                f"SIDECAR_WATCHDOG_INTERVAL: {self.watchdog_interval:g}, not more than SIDECAR_WATCHDOG_TIMEOUT; "
                f"accepted: more than {self.watchdog_timeout:g}"
            )
        if self.api_socket is None and self.api_port == self.port != 0 and self.api_host == self.host:
            faults.append(f"SIDECAR_PORT: {self.port}, which is SIDECAR_API_PORT; accepted: another port, or 0")
        if self.api_socket is None and not is_loopback(self.api_host) and not (self.api_token or self.secrets_dir):
            faults.append(
                f"SIDECAR_API_HOST: {self.api_host}, where whoever reaches it could use the account; accepted: "
                "127.0.0.1, ::1 or localhost, unless SIDECAR_API_TOKEN or SIDECAR_SECRETS_DIR is set"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self


# ------------------------------------------------------------------------------------------------------ reading them


class SettingsError(Exception):
    """Some settings cannot be used. `faults` has a line for each: the name, what is wrong, what is accepted."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def environment_name(field: str) -> str:
    """Return the name that a field has in the environment."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def is_secret(info: FieldInfo) -> bool:
    """Tell whether a field holds a secret."""
    return "SecretStr" in repr((info.annotation, info.metadata))


def accepted(field: str) -> str:
    """Return what a field accepts, in words."""
    return str(Settings.model_fields[field].title)


def has_flag(field: str) -> bool:
    """Tell whether a field may be set on the command line. Credentials and other secrets may not: argv is public."""
    return not is_secret(Settings.model_fields[field]) and environment_name(field) not in CREDENTIAL_NAMES


def load_settings(flags: Mapping[str, str] | None = None, *, only_flags: bool = False) -> Settings:
    """Read the settings from `.env`, the environment and command-line flags.

    Args:
        flags: field name → value as typed on the command line.
        only_flags: read nothing else, as the demo does, which must never touch a real session.

    Raises:
        SettingsError: with a line for every fault; no line repeats a secret.
    """
    faults = [] if only_flags else _faults_of_names()
    kind = _OnlyFlags if only_flags else Settings
    try:
        settings = kind(_env_file=ENV_FILE, _env_file_encoding="utf-8", **(flags or {}))  # type: ignore[arg-type]
    except ValidationError as error:
        for details in error.errors(include_input=False, include_url=False, include_context=False):
            faults += _describe(details)
        raise SettingsError(faults) from None
    if faults:
        raise SettingsError(faults)
    return settings


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """What the service manager (systemd) wants of a process that it started.

    Attributes:
        socket: where it listens for notifications: a path, or @ and the name of an abstract socket.
        watchdog_seconds: it kills a process that gives no sign of life for so long; None if it does not watch.
    """

    socket: str
    watchdog_seconds: float | None


def load_service_manager() -> ServiceManager | None:
    """Read what the service manager put into the environment; None if nobody wants notifications.

    Not from `.env` and not with flags: systemd sets these variables for one process, and WATCHDOG_PID says which, see
    sd_notify(3) and sd_watchdog_enabled(3).

    Raises:
        SettingsError: a variable has a value that systemd does not give it.
    """
    address, allowed = os.environ.get("NOTIFY_SOCKET", ""), os.environ.get("WATCHDOG_USEC", "")
    if not address:
        return None
    watched = bool(allowed) and os.environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
    faults = []
    if not address.startswith(("/", "@")):
        faults.append(f"NOTIFY_SOCKET: {address}, not a Unix socket; accepted: an absolute path, or @ and a name")
    if watched and not re.fullmatch(r"[1-9][0-9]{0,19}", allowed):  # as many digits as 64 bits have
        faults.append(f"WATCHDOG_USEC: {allowed}, not a time; accepted: microseconds, a whole number above 0")
    if faults:
        raise SettingsError(faults)
    return ServiceManager(address, int(allowed) / 1e6 if watched else None)


class _OnlyFlags(Settings):
    """The settings of a demo: nothing of the user's own environment gets in."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _faults_of_names() -> list[str]:
    """Find unknown names in `.env` and the environment, and lines of `.env` that set none."""
    try:
        with Path(ENV_FILE).open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (FileNotFoundError, IsADirectoryError):
        bindings = []
    except UnicodeDecodeError:
        raise SettingsError([f"{ENV_FILE}: not UTF-8; accepted: a UTF-8 text file of NAME=value lines"]) from None
    except OSError as error:
        raise SettingsError([f"{ENV_FILE}: cannot be read ({error.strerror}); make it readable or remove it"]) from None
    broken = [_line(binding) for binding in bindings if binding.error]
    if broken:
        # Told here, and not a second time by the library, which would log it.
        raise SettingsError(
            [f"{ENV_FILE}: line {line} sets nothing; accepted: NAME=value, a comment, an empty line" for line in broken]
        )
    known = {environment_name(field) for field in Settings.model_fields}
    names = sorted({*(binding.key for binding in bindings if binding.key), *os.environ})
    return [_unknown(name, known) for name in names if name.upper().startswith(PREFIX) and name.upper() not in known]


def _line(binding: Binding) -> int:
    """Return the line that a binding of `.env` begins in; it is marked from the blank lines before it on."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _unknown(name: str, known: set[str]) -> str:
    if re.match(r"SIDECAR_(\w+_)?(SERVICE_(HOST|PORT)|PORT_\d+_)", name):
        # Kubernetes describes a Service named "sidecar" or "sidecar-…" to every pod beside it in such variables.
        return f"{name}: not a setting, but a link to a Service; accepted: enableServiceLinks: false in the pod"
    bare = name.upper().removeprefix(PREFIX)
    alike = [bare] if bare in known else get_close_matches(name.upper(), known, n=1)
    return f"{name}: no such setting; accepted: {f'{alike[0]}, perhaps' if alike else 'what docs/settings.md lists'}"


def _describe(details: ErrorDetails) -> list[str]:
    if not details["loc"]:
        return details["msg"].removeprefix("Value error, ").splitlines()
    key = str(details["loc"][0])
    field = next(field for field in Settings.model_fields if key.lower() in {field, environment_name(field).lower()})
    wrong = details["msg"].removeprefix("Value error, ")
    wrong = wrong[0].lower() + wrong[1:]
    return [f"{environment_name(field)}: {wrong}; accepted: {accepted(field)}"]
