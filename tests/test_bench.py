"""The benchmark's arithmetic: what it counts is what it says it counts. Nothing is measured here."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import api, cost, fleet, growth, http, notice, recover, storm, truth
from bench.faults import FAULTS, Played
from bench.figure import NOTHING, Figure, Section, seconds, span, times
from bench.http import Load, parse
from bench.players import ALL, OURS, environment
from bench.processes import clean_environment
from bench.report import HEADER, Circumstances, page
from bench.timeline import Timeline
from sidecar.settings import CREDENTIAL_NAMES

if TYPE_CHECKING:
    from bench.faults import Fault

ROOT = Path(__file__).resolve().parent.parent

TITLES = [
    "Time to notice",
    "Time to recover",
    'False "connected" seconds',
    "A server that accepts and closes",
    "What it costs",
    "HTTP",
    "The api",
    "Growth",
    "A fleet",
]

YES = Timeline(((0, True),))
SILENCE = next(fault for fault in FAULTS if fault.silent)
CLOSED = next(fault for fault in FAULTS if not (fault.lasts or fault.silent))
REVOKED = next(fault for fault in FAULTS if fault.fatal)
WRK = """\
Running 5s test @ http://127.0.0.1:9877/healthz
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   629.51us  211.95us   5.62ms   93.16%
    Req/Sec     6.42k   547.25     7.25k    64.71%
  Latency Distribution
     50%  583.00us
     75%  640.00us
     90%  754.00us
     99%    1.53ms
  32613 requests in 5.10s, 25.72MB read
Requests/sec:   6395.10
Transfer/sec:      5.04MB
"""


def played(kind: str, *, says: Timeline, truth: Timeline, mended: float = 20, fault: Fault = SILENCE) -> Played:
    """Make a record of a fault that struck at 10 s, was mended at 20 s, and was watched until 40 s."""
    return Played(fault, kind, 10, mended, 40, says, truth)


def record(
    ours: float, loop: float, naive: float, *, back: float = 20, fault: Fault = SILENCE, mended: float = 20
) -> list[Played]:
    """Make a record of all three: each says "connected" for so many seconds too long; all are dead until `back`."""
    times = {"ours": ours, "loop": loop, "naive": naive}
    return [
        played(
            kind,
            says=YES.except_during(10 + wrong, back + 1),
            truth=YES.except_during(10, back),
            fault=fault,
            mended=mended,
        )
        for kind, wrong in times.items()
    ]


def met(section: Section) -> list[bool | None]:
    """Return the verdicts."""
    return [figure.met for figure in section.figures]


# ------------------------------------------------------------------------------------------------ what is said and so


def test_a_timeline_counts_its_seconds() -> None:
    """Yes from 2 to 5 and from 7 on: three seconds until 6, four until 8; before the first change it is no."""
    timeline = Timeline(((2, True), (5, False), (7, True)))
    assert [timeline.at(second) for second in (1, 2, 4.9, 5, 8)] == [False, True, True, False, True]
    assert (timeline.seconds(0, 6), timeline.seconds(0, 8), timeline.seconds(3, 4)) == (3, 4, 1)


def test_a_timeline_finds_the_first_moment() -> None:
    """The span's own beginning counts; what comes after the span does not."""
    timeline = Timeline(((2, True), (5, False)))
    assert timeline.first(True, after=3, before=9) == 3
    assert timeline.first(False, after=3, before=9) == 5
    assert timeline.first(False, after=3, before=4) is None


def test_timelines_are_combined() -> None:
    """Said but not true, and both; a freeze cuts out its span and nothing else."""
    said, true = Timeline(((1, True), (6, False))), Timeline(((0, True), (4, False)))
    assert said.but_not(true).seconds(0, 9) == 2
    assert said.and_also(true).seconds(0, 9) == 3
    assert YES.except_during(3, 5).seconds(0, 9) == 7


def test_what_a_record_means() -> None:
    """Dead from 10 s to 23 s, said so from 12 s to 24 s: noticed after 2, back 4 after the mending, false for 2."""
    record = played("ours", says=YES.except_during(12, 24), truth=YES.except_during(10, 23))
    assert (record.noticed, record.dead, record.recovered, record.false_seconds) == (2, 13, 4, 2)


def test_a_contender_that_never_says_so() -> None:
    """It has noticed nothing; it is back as soon as there is a connection, and false for as long as there is none."""
    record = played("loop", says=YES, truth=YES.except_during(10, 35))
    assert (record.noticed, record.dead, record.recovered, record.false_seconds) == (None, 25, 15, 25)


def test_a_strike_takes_effect_when_the_simulator_looks() -> None:
    """An event is over as it strikes; what was true until the next look is no recovery."""
    record = played("loop", says=YES, truth=YES.except_during(10.5, 35), mended=10)
    assert (record.noticed, record.dead, record.recovered, record.false_seconds) == (None, 25, 25, 24.5)


def test_a_no_that_comes_too_late_is_no_notice() -> None:
    """Who says no only when the connection is back has not noticed that it was gone."""
    record = played("naive", says=YES.except_during(22, 30), truth=YES.except_during(10, 20))
    assert (record.noticed, record.recovered, record.false_seconds) == (None, 0, 10)


def test_a_connection_that_does_not_come_back() -> None:
    """Nothing is made up for it: no recovery, and dead until the record ends."""
    record = played("loop", says=YES, truth=Timeline(((0, True), (10, False))))
    assert (record.noticed, record.dead, record.recovered, record.false_seconds) == (None, 30, None, 30)


def test_who_notices_late_recovers_from_then_on() -> None:
    """Mended at 20 s, noticed at 25 s, connected at 28 s: back after 8, of which 3 are its recovery."""
    late = played("ours", says=YES.except_during(25, 28), truth=YES.except_during(10, 27))
    assert (late.noticed, late.recovered, late.back) == (15, 3, 8)


# ------------------------------------------------------------------------------------------------ the verdicts


def test_notice_compares_the_worst_of_ours_with_the_best_of_theirs() -> None:
    """Ours takes 6.5 s at most to meet the aim; a contender that never noticed bounds the ratio from below."""
    (figure,) = notice.section([*record(2, 9, 5), *record(6.5, 8, 5)]).figures
    assert (figure.met, figure.ours, figure.ratio) == (True, "2 s to 6.5 s", "1.2 x")
    (figure,) = notice.section([*record(2, 9, 5), *record(6.6, 9, 5)]).figures
    assert figure.met is False
    never = played("loop", says=YES, truth=YES.except_during(10, 20))
    (figure,) = notice.section([*(one for one in record(5, 1, 1) if one.kind != "loop"), never]).figures
    assert (figure.loop, figure.ratio) == ("never (dead 10 s)", "> 2 x")
    (figure,) = notice.section(record(9, 1, 1, fault=REVOKED)).figures
    assert figure.met is None


def test_who_is_back_at_once_need_not_say_anything() -> None:
    """A connection that was away for a second is not counted as one that was noticed late."""
    loop = played("loop", says=YES, truth=YES.except_during(10, 11), mended=10, fault=CLOSED)
    others = [one for one in record(0.1, 0.1, 0.1, fault=CLOSED, mended=10) if one.kind != "loop"]
    (figure,) = notice.section([*others, loop]).figures
    assert (figure.loop, figure.ratio, figure.met) == ("not said (back in 1 s)", NOTHING, None)


OUTAGE = next(fault for fault in FAULTS if fault.lasts == 10)


@pytest.mark.parametrize(
    ("fault", "mended", "took", "verdict"),
    [
        (CLOSED, 10, 0.25, True),
        (CLOSED, 10, 0.26, False),
        (SILENCE, 10, 0.25, True),
        (SILENCE, 10, 0.26, False),
        (OUTAGE, 20, 30, True),
        (OUTAGE, 20, 31, False),
        (OUTAGE, 20, 99, False),
        (REVOKED, 10, 31, None),
    ],
)
def test_recovery_has_two_aims(fault: Fault, mended: float, took: float, verdict: bool | None) -> None:
    """A quarter of a second once it knows, where the server is there; 30 s after an outage; none for a person."""
    back = max(mended, 10.5) + took
    one = played("ours", says=YES.except_during(10.5, back), truth=YES.except_during(10, back), mended=mended)
    ours = replace(one, fault=fault, until=60)
    others = [replace(ours, kind=kind) for kind in ("loop", "naive")]
    (figure,) = recover.section([ours, *others]).figures
    assert figure.met is verdict


def test_recovery_compares_from_when_it_could_be() -> None:
    """Ours is back 5 and 4 s after the mending, (a) 12 and 10: 2.4 times, whoever noticed when; never is no ratio."""
    first, second = record(2, 2, 2, back=24), record(9, 9, 9, back=23)
    slow = [played("loop", says=YES, truth=YES.except_during(10, back)) for back in (32, 30)]
    ours = [one for one in [*first, *second] if one.kind != "loop"]
    (figure,) = recover.section([*ours, *slow]).figures
    assert (figure.ours, figure.loop, figure.ratio) == ("4 s to 5 s", "10 s to 12 s", "2.4 x")
    never = [slow[0], replace(slow[1], truth=YES.except_during(10, 99))]
    (figure,) = recover.section([*ours, *never]).figures
    assert (figure.loop, figure.ratio) == ("12 s; not within 20 s", NOTHING)


@pytest.mark.parametrize(("loop", "naive", "verdict"), [(20, 20, True), (19, 20, False), (20, 19, False)])
def test_false_seconds_are_compared_with_both(loop: float, naive: float, verdict: bool) -> None:
    """Ten times fewer than (a) and than (b), in the sum of all faults, the fatal ones too; the mean of the repeats."""
    silence = [*record(0.5, loop / 2 - 1, naive / 2, back=39), *record(1.5, loop / 2 + 1, naive / 2, back=39)]
    revoked = record(1, loop / 2, naive / 2, back=39, fault=REVOKED)
    *_, connection, everything = truth.section([*silence, *revoked]).figures
    assert (connection.ours, connection.loop, connection.met) == ("1 s", seconds(loop / 2), None)
    assert (everything.ours, everything.loop, everything.naive) == ("2 s", seconds(loop), seconds(naive))
    assert (everything.met, everything.ratio) == (verdict, f"{times(loop / 2)}, {times(naive / 2)}")


@pytest.mark.parametrize(("worst", "verdict"), [(15, True), (16, False), (0, False)])
def test_the_storm_is_judged_by_the_worst(worst: int, verdict: bool) -> None:
    """15 attempts at most, of each of ours; none at all would mean that nothing was measured."""
    attempts, cpu = storm.section(
        [min(9, worst), worst, min(9, worst), 3000, 3200], [0.0, 0.001, 0.0, 0.8, 0.9]
    ).figures
    assert attempts.met is verdict
    assert (attempts.ratio, cpu.ratio) == (times(3000 / worst) if worst else NOTHING, "800 x")


def test_nothing_is_divided_by_no_processor_time() -> None:
    """Linux may not have counted any."""
    assert storm.section([1, 1, 1, 1, 1], [0.0] * 5).figures[1].ratio == NOTHING


def costs(**changed: float) -> list[Figure]:
    """Return the figures of ours at its aims, but for what is changed."""
    ours = {"cpu": 0.003, "rss": 150 * 2**20, "uss": 2**20, "livez": 0.5, "start": 1.3} | changed
    plain = {"cpu": 0.0, "rss": 100 * 2**20, "uss": 2**20}
    starts = {"livez": [0.1, ours["livez"], 9.0], "ours": [0.1, ours["start"], 9.0]}
    starts |= {"loop": [1.0, 1.0, 1.0], "naive": [1.0, 1.0, 1.0]}
    return cost.section(starts, {"ours": ours, "loop": plain | {"cpu": 0.0015}, "naive": plain, "plain": plain}).figures


@pytest.mark.parametrize(
    ("number", "changed"),
    [(0, {"rss": 151 * 2**20}), (1, {"cpu": 0.0031}), (2, {"livez": 0.51}), (3, {"start": 1.31})],
)
def test_each_cost_has_its_aim(number: int, changed: dict[str, float]) -> None:
    """1.5 times the memory, 0.3 % of a core, 0.5 s to /livez and 1.3 times (a)'s start, the median; and not more."""
    assert [figure.met for figure in costs()] == [True] * 4
    assert [figure.met for figure in costs(**changed)] == [place != number for place in range(4)]
    assert [figure.ratio for figure in costs()] == [
        "1.50 x plain (100 MiB (own 1)), 1.50 x (a)",
        "0.5 x; plain: 0.00%",
        NOTHING,
        "1.30 x (a)",
    ]


def loads(p99: float) -> dict[tuple[str, str, str], list[Load]]:
    """Return three rounds in which ours has these latencies in a black hole, and 1 ms when it is healthy."""
    told = {
        (kind, path, state): [Load(100, 0.0005, 0.001)] * 3
        for kind, path in (("ours", "/metrics"), ("ours", "/healthz"), ("loop", "/metrics"), ("naive", "/health"))
        for state in (http.HEALTHY, http.API, http.HOLE)
    }
    return told | {
        ("ours", "/healthz", http.HOLE): [Load(100, 0.001, p99 / 1000), Load(9, 9, 0.0001), Load(9, 9, 9)],
        ("loop", "/metrics", http.HEALTHY): [Load(200, 0.0005, 0.001)] * 3,
        ("naive", "/health", http.HOLE): [Load(0, 0, 0), Load(1, 1, 1), Load(1, 1, 1)],
    }


@pytest.mark.parametrize(("p99", "verdict"), [(1.2, True), (1.21, False)])
def test_a_black_hole_may_cost_a_fifth(p99: float, verdict: bool) -> None:
    """The median of the rounds' ratios is judged; who did not answer once has no answer."""
    section = http.section(loads(p99), {"ours": 2, "loop": 1})
    assert met(section) == [None, None, True, None, None, verdict]
    assert section.figures[5].ratio == f"p99 {p99:.2f} x healthy (0.10 to 9000.00)"
    assert (section.figures[0].ratio, section.figures[5].naive) == ("0.5 x (a)'s rate", "no answer")


GROWN = [("rss", 1.1), ("blocks", 400 + 20 + 1), ("tasks", 1), ("series", 1)]


@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize(("what", "how_much"), GROWN)
def test_nothing_may_grow(phase: int, what: str, how_much: float) -> None:
    """From the end of the warm-up to the end of a phase, and only what the tolerance says passes."""
    first = {"done": 0, "rss": 50.0, "blocks": 1000, "tasks": 9, "series": 100}
    allowed = {"done": 1000, "rss": 51.0, "blocks": 1420, "tasks": 9, "series": 100}
    fine = {"checks": [first, allowed], "reconnects": [first, allowed]}
    leaky = fine | {("checks", "reconnects")[phase]: [first, allowed | {what: first[what] + how_much}]}
    assert met(growth.section({"ours": fine, "loop": leaky})) == [True, True]
    assert met(growth.section({"ours": leaky, "loop": fine})) == [phase != 0, phase != 1]


EVEN = [0.6 * number for number in range(50)]
HERD = [0.0] * 49 + [29.4]


@pytest.mark.parametrize(
    ("changed", "verdicts"),
    [
        ({}, [True, True, True, True]),
        ({"costs": (1.3, 1)}, [False, True, True, True]),
        ({"costs": (1, 1.3)}, [False, True, True, True]),
        ({"since": EVEN[:-1]}, [True, False, False, True]),
        ({"since": [moment / 2 for moment in EVEN]}, [True, False, True, True]),
        ({"since": HERD}, [True, True, False, True]),
        ({"since": []}, [True, False, False, True]),
        ({"overlaps": {"ours": 1, "loop": 0}}, [True, True, True, False]),
        ({"overlaps": {"ours": 0, "loop": 1}}, [True, True, True, True]),
    ],
)
def test_a_fleet_costs_and_returns_evenly(changed: dict[str, Any], verdicts: list[bool]) -> None:
    """A daemon more costs what the first did; all come back, over the whole window and in no herd; none held twice."""
    uss, cpu = changed.get("costs", (1, 1))
    costs = [{"size": 10, "cpu": 0.001, "uss": 1}, {"size": 50, "cpu": 0.001 * cpu, "uss": uss}]
    since = {"ours": [EVEN, changed.get("since", EVEN), changed.get("since", EVEN)], "loop": [[], [], []]}
    overlaps = changed.get("overlaps", {"ours": 0, "loop": 0})
    assert met(fleet.section(costs, since, overlaps, size=50, notes="")) == verdicts


@pytest.mark.parametrize("fault", ["twice", "lost", "misnamed"])
def test_nothing_may_be_lost_or_sent_twice(fault: str) -> None:
    """One is too many."""
    way = {"p50": 0.002, "p99": 0.004}
    speed = {"took": {"direct": way, "post": way, "kept": way}, "rates": {"direct": 2, "post": 1}}
    lost: dict[str, Any] = {"sends": 9, "reconnects": 1, "statuses": {}, "twice": 0, "lost": 0, "misnamed": 0}
    assert met(api.section(speed, lost)) == [None, None, None, True, None]
    assert met(api.section(speed, lost | {fault: 1})) == [None, None, None, False, None]


# ------------------------------------------------------------------------------------------------ processes, wrk, page


def test_nothing_of_the_shell_reaches_a_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be a real session in it, and fifty processes must not connect with that."""
    for name in (*CREDENTIAL_NAMES, "SIDECAR_PORT", "CHANNEL_URL", "NOTIFY_SOCKET", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "real")
    for kind in ALL:
        given = clean_environment() | environment(kind, "simulated", Path("secrets"))
        assert "real" not in given.values(), kind
    assert environment(OURS, "simulated", Path("secrets"))["SIDECAR_SECRETS_DIR"] == "secrets"


def test_what_wrk_prints_is_read() -> None:
    """Rate, half and 99 %, in seconds whatever the unit; what failed and what was refused; other text is a fault."""
    assert parse(WRK) == Load(6395.10, pytest.approx(0.000583), pytest.approx(0.00153))  # type: ignore[arg-type]
    assert parse(WRK.replace("6395.10", "0.00")).rate == 0
    failed = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n"
    seen = parse(WRK.replace("Requests/sec", f"{failed}Requests/sec"))
    assert (seen.failed, seen.not_ok) == (10, 5)
    with pytest.raises(ValueError, match="not what wrk"):
        parse("unable to connect to 127.0.0.1:9877 Connection refused")


def test_how_numbers_are_written() -> None:
    """Two digits that matter."""
    assert [seconds(value) for value in (0.0123, 0.5, 4.25, 61.4)] == ["12 ms", "0.5 s", "4.2 s", "61 s"]
    assert span([4.2, 0.5]) == "0.5 s to 4.2 s"
    assert [times(ratio) for ratio in (0.001, 0.05, 1.234, 12.3, 1535)] == [
        "< 0.01 x",
        "0.05 x",
        "1.2 x",
        "12 x",
        "1500 x",
    ]


def test_the_page_says_what_was_missed() -> None:
    """Every section has its table and its notes; what missed its aim, or is not there, is named at the top too."""
    section = Section(
        title="Some", figures=[Figure(name="speed", aim="≤ 1", ours="2", met=False)], notes="* how\n", data={}
    )
    about = Circumstances("make bench", "2026-11-23", 0.5, "a machine", "versions", "abc")
    text = page({"some": section}, {"some": "images/some.png"}, about, minutes=1, missing=["other"])
    assert "* command: `make bench`, 1 minutes, at commit abc\n" in text
    assert "* aims missed: speed\n* not measured in this run: other\n" in text
    assert "| speed | ≤ 1: **missed** | 2 |" in text
    assert text.endswith("* how\n\n![Some](images/some.png)\n")


def test_the_page_in_docs_is_whole() -> None:
    """Nothing is left out, every fault is in three tables, every row has all cells, every picture and link is there."""
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert "not measured" not in text
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == TITLES
    for fault in FAULTS:
        assert len(re.findall(rf"^\| [^|]+: {re.escape(fault.name)} \|", text, re.MULTILINE)) == 3, fault.name
    rows = [line.count(" |") for line in text.splitlines() if line.startswith("| ")]
    assert set(rows) == {len(HEADER)}
    pictures = re.findall(r"!\[[^]]+\]\((images/[^)]+)\)", text)
    assert sorted(pictures) == sorted(f"images/{path.name}" for path in (ROOT / "docs/images").glob("bench-*.png"))
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
