"""The memory of flood waits on disk: exact, atomic, and never a reason not to start."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sidecar.holdback import EVERY_SESSION, Hold, HoldBack
from sidecar.link import LinkBusy, LinkLost, Reason
from sidecar.log import logger
from sidecar.statefile import FILE_NAME, LONGEST_SECONDS, StateFile

WALL = 1_800_000_000.0


def state(directory: Path, wall: float = WALL) -> StateFile:
    """Return the state file of a process whose wall clock says `wall`."""
    return StateFile(directory, logger(), wall=lambda: wall)


def test_what_is_saved_is_loaded_by_another_clock(tmp_path: Path) -> None:
    """The loop's clock starts anew in every process; what is left of a wait is told by the wall clock."""
    state(tmp_path).save(
        {"aa": Hold(1300.0, Reason.FLOOD_WAIT), EVERY_SESSION: Hold(1120.0, Reason.TRANSPORT_FLOOD)}, now=1000.0
    )

    assert state(tmp_path, WALL + 100).load(now=5.0) == {
        "aa": Hold(205.0, Reason.FLOOD_WAIT),
        EVERY_SESSION: Hold(25.0, Reason.TRANSPORT_FLOOD),
    }


def test_what_is_over_is_not_loaded(tmp_path: Path) -> None:
    """A wait that ended while nobody ran is over."""
    state(tmp_path).save({"aa": Hold(1300.0, Reason.FLOOD_WAIT)}, now=1000.0)

    assert state(tmp_path, WALL + 301).load(now=5.0) == {}


def test_a_clock_that_was_set_back_does_not_prolong_a_wait(tmp_path: Path) -> None:
    """At most as much is left as was asked for."""
    state(tmp_path).save({"aa": Hold(1300.0, Reason.FLOOD_WAIT)}, now=1000.0)

    assert state(tmp_path, WALL - 86_400).load(now=5.0) == {"aa": Hold(305.0, Reason.FLOOD_WAIT)}


def test_no_file_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first start has nothing to remember, and nothing to complain about."""
    assert state(tmp_path).load(now=5.0) == {}
    assert caplog.records == []


GOOD = {"asked": WALL, "until": WALL + 300, "reason": "flood_wait"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"version": 1, "holds": {"aa', id="cut"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b'{"somebody": "else\'s"}', id="foreign"),
        pytest.param(json.dumps({"version": 2, "holds": {}}).encode(), id="another version"),
        pytest.param(json.dumps({"version": 1, "holds": {"aa": 7}}).encode(), id="no entry"),
        pytest.param(json.dumps({"version": 1, "holds": {"aa": GOOD | {"until": "soon"}}}).encode(), id="no number"),
        pytest.param(json.dumps({"version": 1, "holds": {"aa": GOOD | {"until": math.inf}}}).encode(), id="for ever"),
        pytest.param(json.dumps({"version": 1, "holds": {"aa": GOOD | {"until": math.nan}}}).encode(), id="never"),
        pytest.param(
            json.dumps({"version": 1, "holds": {"aa": GOOD | {"until": WALL + LONGEST_SECONDS + 1}}}).encode(),
            id="longer than any",
        ),
        pytest.param(json.dumps({"version": 1, "holds": {"aa": GOOD | {"until": WALL - 1}}}).encode(), id="backwards"),
        pytest.param(json.dumps({"version": 1, "holds": {"aa": GOOD | {"reason": "whim"}}}).encode(), id="no reason"),
        pytest.param(json.dumps({"version": 1, "holds": {"aa": GOOD | {"reason": "banned"}}}).encode(), id="no hold"),
        pytest.param(b'{"version": 1, "holds": {"aa": {"asked": 1, "until": 1' + b"0" * 400 + b"}}}", id="too large"),
        pytest.param(b"[" * 60_000, id="too deep"),
        pytest.param(b" " * 70_000 + b"{}", id="too long"),
    ],
)
def test_a_file_of_no_use_is_reported_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Whatever stands there, the keeper starts; the log names the file."""
    (tmp_path / FILE_NAME).write_bytes(content)

    assert state(tmp_path).load(now=5.0) == {}
    (record,) = caplog.records
    assert "state_ignored" in record.getMessage()
    assert str(tmp_path / FILE_NAME) in record.getMessage()
    assert "Delete the file" in record.getMessage()


def test_a_broken_entry_costs_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What can be understood is honoured."""
    (tmp_path / FILE_NAME).write_text(json.dumps({"version": 1, "holds": {"aa": 7, "bb": GOOD}}))

    assert state(tmp_path).load(now=5.0) == {"bb": Hold(305.0, Reason.FLOOD_WAIT)}
    assert len(caplog.records) == 1


def test_the_longest_wait_is_cut_and_not_forgotten(tmp_path: Path) -> None:
    """What we wrote ourselves we read ourselves."""
    state(tmp_path).save({"aa": Hold(LONGEST_SECONDS + 86_400, Reason.FLOOD_WAIT)}, now=0.0)

    assert state(tmp_path).load(now=0.0) == {"aa": Hold(LONGEST_SECONDS, Reason.FLOOD_WAIT)}


def test_a_directory_that_is_not_there_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the start, before the first wait is lost; and what cannot be written down this process still waits out."""
    memory = HoldBack(state(tmp_path / "nowhere"), now=0.0)
    (record,) = caplog.records
    assert "state_not_saved" in record.getMessage()
    assert "Mount an emptyDir" in record.getMessage()
    memory.take("aa", LinkBusy(Reason.FLOOD_WAIT, "", wait=300.0), now=10.0)

    assert memory.of("aa") == Hold(310.0, Reason.FLOOD_WAIT)
    _, record = caplog.records
    assert "state_not_saved" in record.getMessage()


def test_the_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """A crash in the middle of writing leaves the old file whole: the new one is written beside it, then renamed."""
    memory = HoldBack(state(tmp_path), now=0.0)
    memory.take("aa", LinkBusy(Reason.FLOOD_WAIT, "", wait=300.0), now=10.0)
    inode = (tmp_path / FILE_NAME).stat().st_ino
    memory.take("bb", LinkBusy(Reason.FLOOD_WAIT, "", wait=5.0), now=11.0)

    assert (tmp_path / FILE_NAME).stat().st_ino != inode
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert state(tmp_path).load(now=0.0).keys() == {"aa", "bb"}


def test_only_what_outlives_an_attempt_is_remembered(tmp_path: Path) -> None:
    """A reset or a server error holds nobody back: the backoff sees to those."""
    memory = HoldBack(state(tmp_path), now=0.0)
    memory.take("aa", LinkLost(Reason.RESET, "", wait=50.0), now=10.0)

    assert memory.of("aa").until == 0.0
    assert list(tmp_path.iterdir()) == []


def test_what_telegram_may_still_hold_is_remembered(tmp_path: Path) -> None:
    """A connection that fell silent, and may live on at Telegram, holds its session back in the next process, too."""
    memory = HoldBack(state(tmp_path), now=0.0)
    memory.take("aa", LinkLost(Reason.PING_TIMEOUT, "", wait=0.0), now=10.0)
    assert memory.of("aa").until == 0.0
    memory.take("aa", LinkLost(Reason.PING_TIMEOUT, "", wait=12.0), now=10.0)

    assert memory.of("aa") == Hold(22.0, Reason.PING_TIMEOUT)
    assert state(tmp_path).load(now=0.0) == {"aa": Hold(12.0, Reason.PING_TIMEOUT)}


def test_a_hold_is_only_ever_prolonged(tmp_path: Path) -> None:
    """A shorter wait that comes later does not end a longer one; what is over is forgotten."""
    memory = HoldBack(state(tmp_path), now=0.0)
    memory.take("aa", LinkBusy(Reason.FLOOD_WAIT, "", wait=300.0), now=0.0)
    memory.take("aa", LinkBusy(Reason.FLOOD_WAIT, "", wait=5.0), now=10.0)
    assert memory.of("aa") == Hold(300.0, Reason.FLOOD_WAIT)

    memory.take("bb", LinkBusy(Reason.FLOOD_WAIT, "", wait=5.0), now=301.0)
    assert state(tmp_path).load(now=0.0).keys() == {"bb"}


def test_too_many_connections_is_about_every_session(tmp_path: Path) -> None:
    """-429 is about our address; the longer of both holds."""
    memory = HoldBack(state(tmp_path), now=0.0)
    memory.take("aa", LinkLost(Reason.TRANSPORT_FLOOD, "", wait=120.0), now=0.0)
    memory.take("aa", LinkBusy(Reason.FLOOD_WAIT, "", wait=10.0), now=0.0)

    assert memory.of("aa") == Hold(120.0, Reason.TRANSPORT_FLOOD)
    assert memory.of("bb") == Hold(120.0, Reason.TRANSPORT_FLOOD)
