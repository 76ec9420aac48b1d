"""The ledger on disk: what a restart keeps. In real time, for a thread writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.api.ledgerfile import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.api.conftest import Api


def files_in(directory: Path) -> list[Path]:
    """Return the files of the ledger."""
    return list(directory.glob(FILE_NAME + "*"))


async def test_a_restart_keeps_the_answers(api: Api, tmp_path: Path) -> None:
    """The repeat after a restart is answered from the file, and another body is noticed, without asking Telegram."""
    api.rig.slack = 5  # real time
    await api.start(state_dir=tmp_path)
    first = await api.send(key="order-1")
    await api.stop()
    await api.serve(state_dir=tmp_path)
    again, other = await api.send(key="order-1"), await api.send("other", key="order-1")

    assert (again.status, again.text) == (201, first.text)
    assert other.status == 422
    assert api.dc.requests["messages.sendMessage"] == 1


async def test_a_crash_with_the_answer_outstanding(api: Api, tmp_path: Path) -> None:
    """The process ends between the send and its answer: the repeat gets the id of the message that was sent."""
    api.rig.slack = 5  # real time
    await api.start(state_dir=tmp_path)
    api.dc.lose_answers("messages.sendMessage")
    await api.send(key="order-1", wait=0.3)
    await api.stop()
    await api.serve(state_dir=tmp_path)
    again = await api.send(key="order-1")

    assert (again.status, again.body["id"]) == (201, 1)
    assert api.texts == ["hello"]


async def test_the_file_holds_no_text_and_no_key(api: Api, tmp_path: Path) -> None:
    """Digests, ids and times are all that is written; nobody else may read it."""
    api.rig.slack = 5  # real time
    await api.start(state_dir=tmp_path)
    await api.send("a secret text", key="order-1")
    await api.stop()
    files = files_in(tmp_path)
    written = b"".join(file.read_bytes() for file in files)

    assert files
    assert b"secret" not in written
    assert b"order-1" not in written
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * len(files)


async def test_a_file_that_is_not_ours_is_done_without(
    api: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told in the log, once, and messages are sent."""
    (tmp_path / FILE_NAME).write_bytes(b"no database, but somebody's notes" * 100)
    api.rig.slack = 5  # real time
    await api.start(state_dir=tmp_path)
    answers = [await api.send(key="order-1"), await api.send(key="order-1")]

    assert [answer.status for answer in answers] == [201, 201]
    assert [record.msg["event"] for record in caplog.records if record.levelname == "ERROR"] == ["state_not_saved"]  # type: ignore[index]
