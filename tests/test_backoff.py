"""The retry policy: how long, at least and at most."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.backoff import PROMPT_SECONDS, Backoff

seconds = st.floats(min_value=0.001, max_value=86_400)
fractions = st.floats(min_value=0, max_value=1, exclude_max=True)
counts = st.one_of(st.integers(min_value=1, max_value=100), st.integers(min_value=1, max_value=10**400))


def policy(base: float = 0.5, maximum: float = 30.0, fraction: float = 0.0) -> Backoff:
    """Make a policy whose randomness always says the same."""
    return Backoff(base, maximum, lambda: fraction)


def test_ceilings_double_up_to_the_maximum() -> None:
    """With the defaults the longest delays are 0.5, 1, 2, 4, 8, 16 and then 30 seconds."""
    assert [policy().ceiling(failures) for failures in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_proven_connection_is_dialled_again_at_once() -> None:
    """After the loss of a proven connection the delay is spread over a tenth of a second, whatever the settings."""
    assert policy(base=100, maximum=1000).ceiling(0) == PROMPT_SECONDS == 0.1
    assert policy(fraction=0.5).delay(0) == 0.05


def test_jitter_is_full() -> None:
    """A delay is the ceiling times the random fraction: anything from nothing to the ceiling."""
    assert [policy(fraction=fraction).delay(3) for fraction in (0.0, 0.25, 0.5)] == [0.0, 0.5, 1.0]


@settings(deadline=None)
@given(base=seconds, maximum=seconds, fraction=fractions, failures=counts)
def test_delays_stay_within_bounds(base: float, maximum: float, fraction: float, failures: int) -> None:
    """No count of failures, however huge, overflows or gives a delay below zero, above the ceiling or the maximum."""
    backoff = policy(base, maximum, fraction)
    assert 0 <= backoff.delay(failures) <= backoff.ceiling(failures) <= maximum


@settings(deadline=None)
@given(base=seconds, maximum=seconds, failures=counts)
def test_ceilings_never_fall(base: float, maximum: float, failures: int) -> None:
    """One failure more never shortens the longest delay."""
    backoff = policy(base, maximum)
    assert backoff.ceiling(failures) <= backoff.ceiling(failures + 1)


@settings(deadline=None)
@given(base=seconds, maximum=seconds)
def test_the_maximum_is_reached(base: float, maximum: float) -> None:
    """After failures enough the ceiling is the maximum itself."""
    assert policy(base, maximum).ceiling(64) == maximum
