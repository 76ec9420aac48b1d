"""Credentials: what is valid now, what is wrong with the rest, and how fast a changed Secret applies."""

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from sidecar.credentials import Credentials, CredentialSource, Unusable
from sidecar.race import background
from sidecar.settings import Settings
from sidecar.simulator.secret import MountedSecret as Secret

HASH, OTHER_HASH = "0123456789abcdef" * 2, "fedcba9876543210" * 2


def session_string(key: int) -> str:
    """Have Telethon save a session whose key is one byte, repeated."""
    session = StringSession()
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = AuthKey(bytes([key]) * 256)
    return str(session.save())


ONE = {"api_id": "1", "api_hash": HASH, "session_string": session_string(1)}
TWO = {"api_id": "2", "api_hash": OTHER_HASH, "session_string": session_string(2)}


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    """A Secret that is mounted but does not exist yet."""
    return Secret(tmp_path / "secret")


def source(secret: Secret, learn: Callable[[Iterable[str]], None] | None = None, **given: object) -> CredentialSource:
    """Make a source that reads the Secret, and has been given the rest."""
    return CredentialSource(Settings(secrets_dir=secret.directory, **given), learn=learn)  # type: ignore[arg-type]


def shown(current: Credentials | Unusable) -> tuple[str, ...]:
    """Lay out what is valid now: the three credentials, or the problems."""
    if isinstance(current, Unusable):
        return tuple(map(str, current.problems))
    return (str(current.api_id), current.api_hash.get_secret_value(), current.session.get_secret_value())


# ------------------------------------------------------------------------------------------------- where they come from


async def test_from_the_environment_alone() -> None:
    """Without a directory the credentials are those of the settings, and never change."""
    given = CredentialSource(Settings(api_id=1, api_hash=HASH, session_string=ONE["session_string"]))
    assert shown(given.current) == tuple(ONE.values())
    given.reload()
    assert shown(given.current) == tuple(ONE.values())


async def test_from_the_files_alone(secret: Secret) -> None:
    """A mounted Secret is enough; white space around a value, such as a last newline, is no part of it."""
    secret.swap(**{name: f" {value}\n" for name, value in ONE.items()})
    assert shown(source(secret).current) == tuple(ONE.values())


async def test_the_environment_hides_a_file(secret: Secret) -> None:
    """A credential from the environment wins over its file, which is then not even looked at."""
    secret.swap(**TWO | {"api_hash": b"\xff"})
    assert shown(source(secret, api_hash=HASH).current) == ("2", HASH, TWO["session_string"])


async def test_what_is_not_used_to_dial_does_not_matter(secret: Secret) -> None:
    """The token of the api listener is no credential of Telegram: with and without it they are the same."""
    secret.swap(**ONE)
    before = source(secret).current
    secret.swap(**ONE | {"api_token": "any text"})
    assert source(secret).current == before


async def test_the_fingerprint_names_the_session(secret: Secret) -> None:
    """The public facts of the session come with the credentials."""
    secret.swap(**ONE)
    current = source(secret).current
    assert isinstance(current, Credentials)
    assert (current.facts.dc, current.facts.host, current.facts.port) == (2, "149.154.167.51", 443)
    assert len(current.facts.fingerprint) == 8


async def test_secrets_are_in_no_repr(secret: Secret) -> None:
    """Credentials can be printed by accident without giving anything away."""
    secret.swap(**ONE)
    current = source(secret).current
    assert HASH not in repr(current)
    assert ONE["session_string"][:20] not in repr(current)


# ------------------------------------------------------------------------------------------------- what is wrong


MISSING = ("API_ID is missing", "API_HASH is missing", "SESSION_STRING is missing")


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        pytest.param({}, MISSING, id="empty-directory"),
        pytest.param({"api_id": " \n", "api_hash": "", "session_string": ""}, MISSING, id="empty-files"),
        pytest.param(
            {"api_id": "1", "api_hash": HASH}, ("SESSION_STRING is missing",), id="the-operator-forgot-the-session"
        ),
        pytest.param(
            ONE | {"api_id": "one"}, ("API_ID in {}/api_id is not a whole number, 1 to 2147483647",), id="api-id"
        ),
        pytest.param(
            ONE | {"api_hash": "0x12"}, ("API_HASH in {}/api_hash is not 32 hexadecimal digits",), id="api-hash"
        ),
        pytest.param(
            ONE | {"session_string": "1short"},
            ("SESSION_STRING has 6 characters; a Telethon StringSession has 353 (IPv4) or 369 (IPv6)",),
            id="session-cut",
        ),
        pytest.param(
            ONE | {"session_string": b"\xff\xfe"},
            ("SESSION_STRING cannot be read from {}/session_string: it is not UTF-8 text",),
            id="not-utf-8",
        ),
        pytest.param(
            ONE | {"proxy": "nowhere"},
            (
                (
                    "SIDECAR_PROXY in {}/proxy is not a proxy's URL with scheme, host and port; accepted: "
                    "socks5://user:pass@host:port, http://user:pass@host:port or mtproxy://secret@host:port"
                ),
            ),
            id="proxy-malformed",
        ),
        pytest.param(
            {"api_id": "one", "session_string": "2"},
            (
                "API_ID in {}/api_id is not a whole number, 1 to 2147483647",
                "API_HASH is missing",
                'SESSION_STRING does not start with "1", as a Telethon StringSession does',
            ),
            id="several",
        ),
    ],
)
async def test_problems_in_words(secret: Secret, files: dict[str, str | bytes], problems: tuple[str, ...]) -> None:
    """Each credential that is missing or wrong gives one problem that names it, and the file where there is one."""
    secret.swap(**files)
    expected = tuple(problem.replace("{}", str(secret.directory)) for problem in problems)
    assert shown(source(secret).current) == expected


async def test_a_proxy_from_the_environment() -> None:
    """The proxy is part of the credentials, and its password is in no repr."""
    settings = Settings(api_id=1, api_hash=HASH, session_string=ONE["session_string"], proxy="http://u:pl4nted@h:1")
    current = CredentialSource(settings).current
    assert isinstance(current, Credentials)
    assert current.proxy
    assert current.proxy.get_secret_value() == "http://u:pl4nted@h:1"
    assert "pl4nted" not in repr(current)


async def test_another_proxy_is_another_set_of_credentials(secret: Secret) -> None:
    """Whatever differs in the URL, even the password alone."""
    found = []
    for proxy in ("socks5://u:p@h:1", "socks5://u:q@h:1", ""):
        secret.swap(**ONE, proxy=proxy)
        found.append(source(secret).current)
    assert all(isinstance(current, Credentials) for current in found)
    assert found[0] != found[1] != found[2] != found[0]


async def test_a_missing_directory(secret: Secret) -> None:
    """A directory that is not there is named beside what is missing, and no trouble where nothing is missing."""
    assert shown(source(secret).current) == (
        *MISSING,
        f"SIDECAR_SECRETS_DIR names {secret.directory}, which is not a directory",
    )
    given = source(secret, api_id=1, api_hash=HASH, session_string=ONE["session_string"])
    assert shown(given.current) == tuple(ONE.values())


async def test_a_file_in_place_of_the_directory(secret: Secret) -> None:
    """A plain file where a directory was meant is said to be none."""
    secret.directory.write_text("not a directory")
    assert shown(source(secret).current)[-1].endswith("which is not a directory")


async def test_a_directory_in_place_of_a_file(secret: Secret) -> None:
    """What cannot be read is a problem with the system's own words."""
    secret.swap(**ONE)
    (secret.directory / "api_hash").unlink()
    (secret.directory / "api_hash").mkdir()
    assert shown(source(secret).current) == (
        f"API_HASH cannot be read from {secret.directory}/api_hash: Is a directory",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_without_permission(secret: Secret) -> None:
    """A file that belongs to somebody else is a problem, as where `fsGroup` is missing."""
    secret.swap(**ONE)
    (secret.directory / "api_hash").resolve().chmod(0)
    assert shown(source(secret).current) == (
        f"API_HASH cannot be read from {secret.directory}/api_hash: Permission denied",
    )


# ------------------------------------------------------------------------------------------------- what is learned


async def test_every_secret_is_learned_before_it_is_judged(secret: Secret) -> None:
    """Every secret goes to the redactor, valid or not, from files and settings; the API id is none."""
    learned: list[str] = []
    malformed = {"api_hash": "malformed-hash", "session_string": "malformed-session", "api_token": "token"}
    secret.swap(api_id="12345678", **malformed)
    source(secret, learned.extend, proxy="socks5://user:p%40ss@h:1")
    assert set(learned) == {
        "malformed-hash",
        "malformed-session",
        "token",
        "socks5://user:p%40ss@h:1",
        "p%40ss",
        "p@ss",
    }


async def test_the_secret_of_an_mtproxy_is_learned(secret: Secret) -> None:
    """Where a URL for SOCKS has a user, one for MTProxy has its secret."""
    learned: list[str] = []
    key = "dd" + "0011223344556677" * 2
    source(secret, learned.extend, proxy=f"mtproxy://{key}@h:1")
    assert set(learned) == {f"mtproxy://{key}@h:1", key}


async def test_a_secret_that_looks_like_half_a_url(secret: Secret) -> None:
    """A secret that cannot be taken apart as a URL is learned whole."""
    learned: list[str] = []
    secret.swap(proxy="http://[half")
    source(secret, learned.extend)
    assert learned == ["http://[half"]


# --------------------------------------------------------------------------------------------------- how they change


def clock() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("swapped", "applied"),
    [
        pytest.param(0.0, 4.0, id="at-once"),
        pytest.param(1.999, 4.0, id="just-before-a-look"),
        pytest.param(2.001, 6.0, id="just-after-a-look"),
        pytest.param(61.0, 64.0, id="after-a-minute"),
    ],
)
async def test_a_swap_applies_in_time(secret: Secret, swapped: float, applied: float) -> None:
    """A changed Secret applies once two looks, two seconds apart, agree: within 4 s, where 10 are promised."""
    secret.swap(**ONE)
    watched = source(secret)
    async with background(watched.watch()):
        await asyncio.sleep(swapped)
        secret.swap(**TWO)
        await watched.changed_from(watched.current)
        assert clock() == applied
    assert shown(watched.current) == tuple(TWO.values())


@pytest.mark.looptime
async def test_the_same_content_is_no_change(secret: Secret) -> None:
    """A Secret that is mounted anew with the same content changes nothing."""
    secret.swap(**ONE)
    watched = source(secret)
    before = watched.current
    async with background(watched.watch(), watched.changed_from(before)) as (_, changed):
        secret.swap(**ONE)
        await asyncio.sleep(60)
        assert not changed.done()
    assert watched.current is before


@pytest.mark.looptime
async def test_a_file_that_is_being_written_is_not_taken(secret: Secret) -> None:
    """While the content differs from look to look nothing is taken; once it rests, it is."""
    secret.swap(**ONE)
    watched = source(secret)
    file = (secret.directory / "session_string").resolve()
    whole = TWO["session_string"]
    async with background(watched.watch(), watched.changed_from(watched.current)) as (_, changed):
        for length in (0, 100, 200, 300, 353):
            file.write_text(whole[:length])
            await asyncio.sleep(1.9)
        assert not changed.done()
        await asyncio.wait([changed])
        assert clock() == 10.0
    assert shown(watched.current) == ("1", HASH, whole)


async def test_never_a_mixture_of_two_states(secret: Secret) -> None:
    """A Secret that is swapped while it is being read is read again, and given as one of its states."""
    secret.swap(**ONE)
    swaps = [TWO]

    def swap_at_the_first_secret(_: Iterable[str]) -> None:
        if swaps:
            secret.swap(**swaps.pop())

    assert shown(source(secret, swap_at_the_first_secret).current) == tuple(TWO.values())


async def test_reload_takes_what_is_there_at_once(secret: Secret) -> None:
    """Told to read again, as by SIGHUP, the source needs one look, and wakes who waits for a change."""
    secret.swap(**ONE)
    watched = source(secret)
    async with background(watched.changed_from(watched.current)) as (changed,):
        await asyncio.sleep(0)
        secret.swap(**TWO)
        watched.reload()
        await asyncio.wait([changed])
    assert shown(watched.current) == tuple(TWO.values())


async def test_from_unusable_to_usable_and_back(secret: Secret) -> None:
    """Credentials may come, go and come again."""
    watched = source(secret)
    assert shown(watched.current)[:3] == MISSING
    secret.swap(**ONE)
    watched.reload()
    assert shown(watched.current) == tuple(ONE.values())
    secret.swap(api_id="1", api_hash=HASH)
    watched.reload()
    assert shown(watched.current) == ("SESSION_STRING is missing",)
    secret.swap(**ONE)
    watched.reload()
    assert shown(watched.current) == tuple(ONE.values())


@pytest.mark.looptime
async def test_the_watch_survives_a_directory_that_goes_and_comes(secret: Secret) -> None:
    """A directory that vanishes is a problem for as long as it is gone, and no end of the watch."""
    secret.swap(**ONE)
    watched = source(secret)
    async with background(watched.watch()):
        secret.directory.rename(secret.directory.with_name("gone"))
        await watched.changed_from(watched.current)
        assert (clock(), shown(watched.current)[:3]) == (4.0, MISSING)
        secret.directory.with_name("gone").rename(secret.directory)
        await watched.changed_from(watched.current)
        assert (clock(), shown(watched.current)) == (8.0, tuple(ONE.values()))


async def test_what_changed_already_is_not_waited_for(secret: Secret) -> None:
    """Asked about credentials that are no longer valid, the source answers at once."""
    secret.swap(**ONE)
    watched = source(secret)
    await watched.changed_from(Unusable(()))
