"""Growing delays."""

from __future__ import annotations

from hashwacht.platform.backoff import Backoff, Cooldown


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.delay(failures) for failures in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.delay(10**6) == 3.0


def test_jitter_is_between_nothing_and_the_delay() -> None:
    assert Backoff(1.0, 8.0).jittered(3, lambda low, high: low + high) == 4.0


def test_a_cooldown_grows_until_a_success() -> None:
    now = [0.0]
    cooldown = Cooldown(clock=lambda: now[0])
    assert not cooldown.active
    for delay in (1.0, 2.0, 2.0):
        cooldown.start("out of reach", Backoff(1.0, 2.0))
        now[0] += delay - 0.1
        assert cooldown.active
        now[0] += 0.1
        assert not cooldown.active
    cooldown.reset()
    cooldown.start("out of reach", Backoff(1.0, 2.0))
    now[0] += 1.0
    assert not cooldown.active
