"""The credentials that are valid now, and the watch over the files that may change them.

The only reader of secret files. A Kubernetes Secret is mounted as a directory of links that all lead through one link,
`..data`, which is swapped when the Secret changes; so the files of one state are read through one resolution of it.

Precedence is that of all settings: the files come last, so a credential from the environment hides its file.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, TypeAdapter, ValidationError

from sidecar.proxy import NOT_INSTALLED, installed
from sidecar.session import SessionFacts, read_session
from sidecar.settings import CREDENTIAL_NAMES, Settings, accepted, environment_name
from sidecar.state import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Never

POLL_SECONDS = 2.0
"""Seconds between two looks at the files. A change applies once two looks agree, hence within two polls and well
within the promised 10 s; a file that is being written in place is not taken half."""

_FILES = {environment_name(file): file for file in ("api_id", "api_hash", "session_string", "proxy", "api_token")}
"""The settings that may stand in files, by name; a file is called as the field of `Settings`."""

CREDENTIAL_FILES = tuple(_FILES.values())
_LARGEST_FILE = 64 * 1024
_SWAPS = 3
"""How often to start again when the Secret is swapped while it is being read."""

_ADAPTERS: dict[str, TypeAdapter[object]] = {
    name: TypeAdapter(Settings.model_fields[field].rebuild_annotation()) for name, field in _FILES.items()
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Everything that is needed to dial as one account; secrets stay wrapped until they are used.

    The way is part of it: another proxy makes other credentials, and thereby another connection.
    """

    api_id: int
    api_hash: SecretStr
    session: SecretStr
    facts: SessionFacts
    proxy: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Nothing can be dialled, and why: one problem for each credential that is missing or wrong."""

    problems: tuple[Problem, ...]


class _Reading(NamedTuple):
    """What one look at all sources has found."""

    credentials: Credentials | Unusable
    api_token: SecretStr | None


def parse(field: str, text: str) -> Any:
    """Read a credential that was typed.

    Raises:
        ValueError: it is not what the field accepts; the message does not repeat it.
    """
    try:
        return _ADAPTERS[environment_name(field)].validate_python(text)
    except ValidationError:
        raise ValueError(f"{environment_name(field)} is not {accepted(field)}") from None


class CredentialSource:
    """Holds the credentials that are valid now and tells when they change."""

    def __init__(self, settings: Settings, *, learn: Callable[[Iterable[str]], None] | None = None) -> None:
        """Read the credentials for the first time.

        Args:
            settings: where the directory is, and what comes from elsewhere.
            learn: called with every secret that is read, before anything else is done with it.
        """
        self._learn = learn or (lambda _: None)
        self._given: dict[str, Any] = {name: getattr(settings, field) for name, field in _FILES.items()}
        for given in self._given.values():
            if isinstance(given, SecretStr):
                self._learn(_parts(given.get_secret_value()))
        self._directory = settings.secrets_dir
        self.hidden = self._hidden_files()
        """The files that are not used, because the environment, `.env` or a flag has the last word."""
        self._changed = asyncio.Event()
        self.current: Credentials | Unusable
        self.api_token: SecretStr | None
        """What the api listener asks for. One that was there and is gone stays: its file may be on its way, and nobody
        opens a door by losing a key."""
        self.current, self.api_token = self._read()

    async def changed_from(self, seen: Credentials | Unusable) -> None:
        """Return when the valid credentials are no longer these."""
        while self.current == seen:
            await self._changed.wait()

    def _hidden_files(self) -> list[str]:
        given = [name for name, value in self._given.items() if value is not None]
        return [_FILES[name] for name in given if self._directory and (self._directory / _FILES[name]).exists()]

    def reload(self) -> None:
        """Read the files again now, and take what they hold."""
        self._take(self._read())

    async def watch(self) -> Never:
        """Look at the files for ever, and take what two looks in a row agree on."""
        before: _Reading | None = None
        while True:
            await asyncio.sleep(POLL_SECONDS)
            found = self._read()
            if found == before:
                self._take(found)
            before = found

    def _take(self, found: _Reading) -> None:
        self.api_token = found.api_token or self.api_token
        if found.credentials != self.current:
            self.current = found.credentials
            self._changed.set()
            self._changed = asyncio.Event()

    def _read(self) -> _Reading:
        values = {name: value for name, value in self._given.items() if value is not None}
        problems: list[Problem] = []
        if self._directory is not None:
            found, problems = self._read_directory(self._directory, frozenset(values))
            values |= found
        faulty = {problem.name for problem in problems}
        missing = [name for name in CREDENTIAL_NAMES if name not in values and name not in faulty]
        problems += [Problem(name, "is missing") for name in missing]
        if missing and self._directory is not None and not self._directory.is_dir():
            problems.append(Problem("SIDECAR_SECRETS_DIR", f"names {self._directory}, which is not a directory"))
        if "SIDECAR_PROXY" in values and not installed():
            problems.append(Problem("SIDECAR_PROXY", NOT_INSTALLED))

        facts: SessionFacts | None = None
        if "SESSION_STRING" in values:
            try:
                facts = read_session(values["SESSION_STRING"].get_secret_value())
            except ValueError as error:
                problems.append(Problem("SESSION_STRING", str(error)))
        token = values.get("SIDECAR_API_TOKEN")
        if problems or facts is None:
            return _Reading(Unusable(tuple(problems)), token)
        credentials = Credentials(
            api_id=values["API_ID"],
            api_hash=values["API_HASH"],
            session=values["SESSION_STRING"],
            facts=facts,
            proxy=values.get("SIDECAR_PROXY"),
        )
        return _Reading(credentials, token)

    def _read_directory(self, directory: Path, skip: frozenset[str]) -> tuple[dict[str, Any], list[Problem]]:
        """Read the secret files, but for those of the names in `skip`. All come from one state of the directory."""
        found: dict[str, Any] = {}
        problems: list[Problem] = []
        for _ in range(_SWAPS):
            before = (directory / "..data").resolve()
            found, problems = {}, []
            for name in _FILES.keys() - skip:
                value = self._read_file(name, directory / _FILES[name])
                if isinstance(value, Problem):
                    problems.append(value)
                elif value is not None:
                    found[name] = value
            if (directory / "..data").resolve() == before:
                break
        return found, sorted(problems)

    def _read_file(self, name: str, path: Path) -> object | Problem | None:
        try:
            with path.open(encoding="utf-8") as stream:
                text = stream.read(_LARGEST_FILE).strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeDecodeError:
            return Problem(name, f"cannot be read from {path}: it is not UTF-8 text")
        except OSError as error:
            return Problem(name, f"cannot be read from {path}: {error.strerror}")
        if not text:
            return None
        if name != "API_ID":
            self._learn(_parts(text))
        try:
            return _ADAPTERS[name].validate_python(text)
        except ValidationError as error:
            return Problem(name, f"in {path} is {_wrong(error, accepted(_FILES[name]))}")


def _wrong(error: ValidationError, accepts: str) -> str:
    """Say what is wrong in the words of `settings`, which repeat no secret; a library's own words are not passed on."""
    (details, *_) = error.errors(include_input=False, include_url=False, include_context=False)
    told = details["msg"].removeprefix("Value error, ")
    return (
        f"not {accepts}"
        if details["type"] != "value_error" or told == f"not {accepts}"
        else f"{told}; accepted: {accepts}"
    )


def _parts(secret: str) -> Iterator[str]:
    """Give a secret, and the password inside it if it is a URL; that of an mtproxy stands where others have a user."""
    yield secret
    try:
        url = urlsplit(secret)
        password = url.username if url.scheme == "mtproxy" else url.password
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)
