"""Settings: where they come from, what is said of what cannot be used, and what is never said."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from pydantic import ValidationError

from sidecar.settings import ENV_FILE, Settings, SettingsError, environment_name, is_secret, load_settings

NAMES = [environment_name(field) for field in Settings.model_fields]
SECRETS = {environment_name(field) for field, info in Settings.model_fields.items() if is_secret(info)}
HASH = "0123456789abcdef" * 2
PLANTED = "pl4nted-5ecret"


@contextmanager
def environment(values: Mapping[str, str], dotenv: bytes = b"") -> Iterator[None]:
    """Set variables, and a `.env` file, for the time of the block."""
    file = Path(ENV_FILE)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        file.write_bytes(dotenv)
        try:
            yield
        finally:
            file.unlink()


def faults(values: Mapping[str, str], dotenv: bytes = b"", flags: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the lines that are said of settings that cannot be used."""
    with environment(values, dotenv), pytest.raises(SettingsError) as caught:
        load_settings(flags)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def loaded(values: Mapping[str, str], dotenv: bytes = b"", flags: Mapping[str, str] | None = None) -> Settings:
    """Return settings that can be used."""
    with environment(values, dotenv):
        return load_settings(flags)


# ------------------------------------------------------------------------------------------------ where they come from


def test_defaults() -> None:
    """With nothing set, the defaults are those of the contract."""
    assert load_settings().model_dump() == {
        "api_id": None,
        "api_hash": None,
        "session_string": None,
        "channel_url": None,
        "environment": "production",
        "secrets_dir": None,
        "host": "127.0.0.1",
        "port": 9877,
        "api_host": "127.0.0.1",
        "api_port": 9878,
        "api_socket": None,
        "api_token": None,
        "api_updates": False,
        "ping_interval": 3,
        "ping_timeout": 3,
        "watchdog_interval": 60,
        "watchdog_timeout": 10,
        "connect_timeout": 15,
        "backoff_base": 0.5,
        "backoff_max": 30,
        "shutdown_timeout": 5,
        "state_dir": None,
        "proxy": None,
        "log_level": "info",
        "log_format": "json",
    }


@pytest.mark.parametrize(
    ("field", "values"),
    [
        pytest.param("port", ("1", "2", "3"), id="a-prefixed-name"),
        pytest.param("environment", ("from-file", "from-environment", "from-flag"), id="a-usual-name"),
    ],
)
def test_precedence(field: str, values: tuple[str, str, str]) -> None:
    """A flag overrides the environment, which overrides `.env`, which overrides the default."""
    name, (in_file, in_environment, in_flag) = environment_name(field), values
    dotenv = f"{name}={in_file}".encode()
    assert str(getattr(loaded({}, dotenv), field)) == in_file
    assert str(getattr(loaded({name: in_environment}, dotenv), field)) == in_environment
    assert str(getattr(loaded({name: in_environment}, dotenv, {field: in_flag}), field)) == in_flag


def test_names_are_found_in_any_case() -> None:
    """A variable in lower case is the same setting."""
    assert loaded({"sidecar_port": "1", "api_id": "2"}).port == 1


@pytest.mark.parametrize("blank", ["", " ", "\n"], ids=["empty", "space", "newline"])
@pytest.mark.parametrize("name", NAMES)
def test_blank_counts_as_missing(name: str, blank: str) -> None:
    """A variable that is empty, or holds white space alone, leaves the setting at its default."""
    assert loaded({name: blank}) == load_settings()


@pytest.mark.parametrize(
    ("name", "field"), [("API_HASH", "api_hash"), ("SESSION_STRING", "session_string"), ("SIDECAR_PROXY", "proxy")]
)
def test_credentials_lose_their_white_space(name: str, field: str) -> None:
    """White space around a credential, as a file or a heredoc leaves it, is no part of it."""
    bare = {"API_HASH": HASH, "SESSION_STRING": "any", "SIDECAR_PROXY": "socks5://u:p@h:1"}[name]
    assert getattr(loaded({name: f" {bare}\n"}), field).get_secret_value() == bare


def test_flags_alone() -> None:
    """For a demo nothing but the flags is read: neither the environment, nor `.env`, nor names that nobody knows."""
    with environment({"SIDECAR_PORT": "x", "API_ID": "1", "SIDECAR_UNKNOWN": "1"}, b"ENVIRONMENT=from-file"):
        settings = load_settings({"host": "h"}, only_flags=True)
    assert settings.model_dump() == load_settings({"host": "h"}).model_dump()


# -------------------------------------------------------------------------------------------------- unknown names


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        pytest.param("SIDECAR_PROT", "SIDECAR_PORT, perhaps", id="letters-swapped"),
        pytest.param("sidecar_prot", "SIDECAR_PORT, perhaps", id="lower-case"),
        pytest.param("SIDECAR_PING_INTERVALL", "SIDECAR_PING_INTERVAL, perhaps", id="a-letter-too-many"),
        pytest.param("SIDECAR_ENVIRONMENT", "ENVIRONMENT, perhaps", id="a-usual-name-with-our-prefix"),
        pytest.param("SIDECAR_QQQQQQQQQQQQQQQQ", "what docs/settings.md lists", id="like-none"),
    ],
)
def test_unknown_names_are_faults(name: str, accepted: str) -> None:
    """A name with our prefix that is no setting is a fault, in the environment and in `.env`; the closest is told."""
    expected = (f"{name}: no such setting; accepted: {accepted}",)
    assert faults({name: "1"}) == expected
    assert faults({name: ""}) == expected
    assert faults({}, f"{name}=1".encode()) == expected


def test_other_peoples_names_are_none_of_our_business() -> None:
    """Names without our prefix are ignored, in the environment and in `.env`."""
    assert loaded({"OTHER": "x"}, b"ANOTHER=x\nexport THIRD=y\n") == load_settings()


@pytest.mark.parametrize(
    "name",
    [
        "SIDECAR_SERVICE_HOST",
        "SIDECAR_SERVICE_PORT",
        "SIDECAR_SERVICE_PORT_HTTP",
        "SIDECAR_PORT_80_TCP",
        "SIDECAR_PORT_80_TCP_ADDR",
        "SIDECAR_API_SERVICE_HOST",
        "SIDECAR_API_PORT_80_TCP",
        "SIDECAR_METRICS_SERVICE_PORT_HTTP",
    ],
)
def test_service_links_are_explained(name: str) -> None:
    """What Kubernetes says of a Service whose name begins with "sidecar" is called so, and how to switch it off."""
    assert faults({name: "10.0.0.1"}) == (
        f"{name}: not a setting, but a link to a Service; accepted: enableServiceLinks: false in the pod",
    )


def test_a_service_link_in_place_of_the_port() -> None:
    """SIDECAR_PORT=tcp://…, which Kubernetes sets for a Service named "sidecar", is a fault and not a crash."""
    (line,) = faults({"SIDECAR_PORT": "tcp://10.96.0.1:9877"})
    assert re.fullmatch(r"SIDECAR_PORT: .+; accepted: 0 to 65535; 0 takes any free port", line)


# --------------------------------------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        pytest.param("API_ID", "x", "a whole number, 1 to 2147483647", id="api-id-text"),
        pytest.param("API_ID", "0", "a whole number, 1 to 2147483647", id="api-id-zero"),
        pytest.param("API_ID", "1.5", "a whole number, 1 to 2147483647", id="api-id-fraction"),
        pytest.param("API_ID", str(2**31), "a whole number, 1 to 2147483647", id="api-id-beyond-32-bits"),
        pytest.param("API_ID", "9" * 5000, "a whole number, 1 to 2147483647", id="api-id-huge"),
        pytest.param("CHANNEL_URL", "nowhere", "https://t.me/name, @name or an id", id="channel"),
        pytest.param("SIDECAR_PORT", "65536", "0 to 65535; 0 takes any free port", id="port-too-high"),
        pytest.param("SIDECAR_PORT", "-1", "0 to 65535; 0 takes any free port", id="port-below-zero"),
        pytest.param("SIDECAR_API_PORT", "http", "0 to 65535; 0 takes any free port", id="port-text"),
        pytest.param("SIDECAR_PING_INTERVAL", "0", "seconds, 0.1 to 60", id="no-time"),
        pytest.param("SIDECAR_PING_INTERVAL", "61", "seconds, 0.1 to 60", id="too-long"),
        pytest.param("SIDECAR_PING_TIMEOUT", "nan", "seconds, 0.1 to 60", id="not-a-number"),
        pytest.param("SIDECAR_PING_TIMEOUT", "3s", "seconds, 0.1 to 60", id="with-a-unit"),
        pytest.param(
            "SIDECAR_WATCHDOG_INTERVAL",
            "inf",
            "seconds, more than SIDECAR_WATCHDOG_TIMEOUT, up to 86400",
            id="infinite",
        ),
        pytest.param("SIDECAR_WATCHDOG_TIMEOUT", "2", "seconds, above 2, up to 86400", id="watchdog-timeout"),
        pytest.param("SIDECAR_CONNECT_TIMEOUT", "2", "seconds, above 2, up to 86400", id="connect-timeout"),
        pytest.param("SIDECAR_BACKOFF_BASE", "-1", "seconds, 0.1 to 86400", id="backoff-base"),
        pytest.param(
            "SIDECAR_BACKOFF_MAX", "86401", "seconds, at least SIDECAR_BACKOFF_BASE, up to 86400", id="more-than-a-day"
        ),
        pytest.param("SIDECAR_LOG_LEVEL", "loud", "debug, info, warning or error", id="level"),
        pytest.param("SIDECAR_LOG_FORMAT", "xml", "json or console", id="format"),
    ],
)
def test_a_malformed_value_is_one_line(name: str, value: str, accepted: str) -> None:
    """Each malformed value gives one line: its name, what is wrong, what is accepted; and not the value."""
    (line,) = faults({name: value})
    assert re.fullmatch(re.escape(f"{name}: ") + "[^;]+" + re.escape(f"; accepted: {accepted}"), line)


PROXY = "socks5://user:pass@host:port, http://user:pass@host:port or mtproxy://secret@host:port"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        pytest.param("API_HASH", HASH[1:], "not 32 hexadecimal digits; accepted: 32 hexadecimal digits", id="short"),
        pytest.param("API_HASH", "g" * 32, "not 32 hexadecimal digits; accepted: 32 hexadecimal digits", id="not-hex"),
        pytest.param("SIDECAR_SECRETS_DIR", "here", "not an absolute path; accepted: an absolute path", id="relative"),
        pytest.param("SIDECAR_STATE_DIR", "./x", "not an absolute path; accepted: an absolute path", id="with-dot"),
        pytest.param("SIDECAR_API_SOCKET", "s", "not an absolute path; accepted: an absolute path", id="socket"),
        pytest.param(
            "SIDECAR_PROXY",
            "ftp://host:1",
            f"not a proxy's URL with scheme, host and port; accepted: {PROXY}",
            id="proxy-scheme",
        ),
        pytest.param(
            "SIDECAR_PROXY",
            "socks5://host",
            f"not a proxy's URL with scheme, host and port; accepted: {PROXY}",
            id="proxy-without-port",
        ),
        pytest.param("SIDECAR_PROXY", "http://[::1:80", f"not a URL; accepted: {PROXY}", id="proxy-bracket"),
        pytest.param("SIDECAR_PROXY", "http://h:99999", f"not a URL; accepted: {PROXY}", id="proxy-port"),
        pytest.param(
            "SIDECAR_PROXY", "mtproxy://h:1", f"an mtproxy without its secret; accepted: {PROXY}", id="mtproxy"
        ),
    ],
)
def test_our_own_words_for_what_is_wrong(name: str, value: str, line: str) -> None:
    """What is wrong with a path, a hash or a proxy is said in fixed words."""
    assert faults({name: value}) == (f"{name}: {line}",)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        pytest.param(
            {"SIDECAR_BACKOFF_MAX": "0.4"},
            "SIDECAR_BACKOFF_MAX: 0.4, less than SIDECAR_BACKOFF_BASE; accepted: 0.5 or more",
            id="backoff",
        ),
        pytest.param(
            {"SIDECAR_WATCHDOG_INTERVAL": "10"},
            "SIDECAR_WATCHDOG_INTERVAL: 10, not more than SIDECAR_WATCHDOG_TIMEOUT; accepted: more than 10",
            id="watchdog",
        ),
        pytest.param(
            {"SIDECAR_PORT": "9878"},
            "SIDECAR_PORT: 9878, which is SIDECAR_API_PORT; accepted: another port, or 0",
            id="ports",
        ),
        pytest.param(
            {"SIDECAR_API_HOST": "0.0.0.0"},  # noqa: S104 - what is refused
            "SIDECAR_API_HOST: 0.0.0.0, where whoever reaches it could use the account; accepted: 127.0.0.1, ::1 or "
            "localhost, unless SIDECAR_API_TOKEN or SIDECAR_SECRETS_DIR is set",
            id="api-for-everybody",
        ),
    ],
)
def test_impossible_relations(values: dict[str, str], line: str) -> None:
    """Values that are fine alone but not together give one line."""
    assert faults(values) == (line,)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"SIDECAR_BACKOFF_MAX": "0.5"}, id="backoff-that-never-grows"),
        pytest.param({"SIDECAR_WATCHDOG_INTERVAL": "10.001"}, id="checks-that-just-do-not-overlap"),
        pytest.param({"SIDECAR_PORT": "0", "SIDECAR_API_PORT": "0"}, id="any-free-ports"),
        pytest.param({"SIDECAR_PORT": "9878", "SIDECAR_API_SOCKET": "/s"}, id="a-socket-needs-no-port"),
        pytest.param({"SIDECAR_PORT": "9878", "SIDECAR_HOST": "10.0.0.1"}, id="other-address"),
        pytest.param({"API_ID": str(2**31 - 1)}, id="largest-api-id"),
    ],
)
def test_relations_at_their_edge(values: dict[str, str]) -> None:
    """What just fits together is accepted."""
    loaded(values)


def test_every_fault_is_told_at_once() -> None:
    """All faults are told in one go, each on its line: names nobody knows, then values."""
    lines = faults({"SIDECAR_B": "", "SIDECAR_A": "", "SIDECAR_HOST": "h", "SIDECAR_PORT": "x", "API_ID": "y"})
    assert [line.partition(":")[0] for line in lines] == ["SIDECAR_A", "SIDECAR_B", "API_ID", "SIDECAR_PORT"]


def test_a_malformed_flag_is_told_by_its_setting() -> None:
    """A flag goes through the same checks, under the name of its setting."""
    (line,) = faults({}, flags={"port": "x"})
    assert line.startswith("SIDECAR_PORT: ")


def test_an_unreadable_env_file() -> None:
    """A `.env` that is not UTF-8 is a fault and not a crash."""
    assert faults({}, b"API_ID=\xff") == (".env: not UTF-8; accepted: a UTF-8 text file of NAME=value lines",)


@pytest.mark.parametrize(
    ("content", "broken"),
    [
        pytest.param("not a setting", [1], id="alone"),
        pytest.param(f"API_ID=1\n# why\nAPI_HASH {PLANTED}\nENVIRONMENT=x\n", [3], id="between-others"),
        pytest.param(f"SESSION_STRING: {PLANTED}\n=1\n", [1, 2], id="several"),
        pytest.param("SIDECAR_UNKNOWN=1\nAPI_ID=x\n'", [3], id="before-all-other-faults"),
    ],
)
def test_broken_lines_of_the_env_file(caplog: pytest.LogCaptureFixture, content: str, broken: list[int]) -> None:
    """A line of `.env` that sets nothing is a fault, told once, by its number alone; nobody logs it."""
    assert faults({}, content.encode()) == tuple(
        f".env: line {line} sets nothing; accepted: NAME=value, a comment, an empty line" for line in broken
    )
    assert caplog.records == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_env_file_without_permission(tmp_path: Path) -> None:
    """A `.env` that belongs to somebody else is a fault and not a crash."""
    (tmp_path / ENV_FILE).touch(mode=0)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.faults == (".env: cannot be read (Permission denied); make it readable or remove it",)


# ---------------------------------------------------------------------------------------------------- never said


def test_settings_are_frozen() -> None:
    """Settings that were read never change."""
    with pytest.raises(ValidationError):
        load_settings().port = 1  # type: ignore[misc]


def test_which_settings_are_secret() -> None:
    """These are the secrets: they have no command-line flag."""
    assert {"API_HASH", "SESSION_STRING", "SIDECAR_API_TOKEN", "SIDECAR_PROXY"} == SECRETS


def test_secrets_are_in_no_repr() -> None:
    """No way of printing settings shows a secret."""
    settings = loaded(
        {
            "API_HASH": HASH,
            "SESSION_STRING": PLANTED,
            "SIDECAR_API_TOKEN": PLANTED,
            "SIDECAR_PROXY": f"http://u:{PLANTED}@h:1",
        }
    )
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert PLANTED not in text
        assert HASH not in text


# ------------------------------------------------------------------------------------------------------- any junk

junk = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
plausible = st.sampled_from(
    ["1", "0", "-1", "1e999", "nan", "0x10", "٣", "true", "[]", "{}", "null", "/", "/x", "json", "info", "tcp://h:1"]
)


def hold_against_contract(values: Mapping[str, str], dotenv: bytes = b"") -> None:
    """Load settings; make sure that the outcome is one that the contract knows, and that no secret is in it."""
    with environment(values, dotenv):
        try:
            said = repr(load_settings())
        except SettingsError as error:
            said = str(error)
            for line in error.faults:
                assert re.fullmatch(r"[^\n]+: [^\n]+; (accepted: [^\n]+|make it readable or remove it)", line)
    assert PLANTED not in said


@budget(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), junk | plausible, max_size=6), st.sampled_from(["", "\udcff"]))
def test_any_junk_in_the_environment(values: dict[str, str], tail: str) -> None:
    """Whatever the variables hold, settings come of it, or lines; a secret is in neither."""
    planted = {name: value + (PLANTED if name in SECRETS else "") + tail for name, value in values.items()}
    hold_against_contract(planted)


@budget(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_junk_in_the_env_file(content: bytes) -> None:
    """Whatever `.env` holds, settings come of it, or lines."""
    hold_against_contract({}, content)


@budget(deadline=None)
@given(st.sampled_from(sorted(SECRETS)), junk)
def test_any_secret_in_the_env_file(name: str, value: str) -> None:
    """A secret in `.env`, well-formed or not, is in no line."""
    hold_against_contract({}, f"{name}={PLANTED}{value}".encode())
