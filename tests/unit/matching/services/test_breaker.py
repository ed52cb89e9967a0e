from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hashwacht.core.types import Reason
from hashwacht.matching.lookup import ServiceFault
from hashwacht.matching.services.retry import Admission, BreakerPolicy, CircuitBreaker
from support.clock import Clock

RULE = BreakerPolicy(failures=3, delay=10.0, longest=100.0)
SILENCE = ServiceFault("timed out", retryable=True)


class Life(RuleBasedStateMachine):
    """Any order of admissions, answers, failures and time, compared with a simple model."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker(RULE, self.clock)
        self.flying = 0
        self.probing = False
        self.in_a_row = 0
        self.asked_since_open = 0
        self.open = False

    @rule()
    def admit(self) -> None:
        admission = self.breaker.admit()
        if self.probing and self.open:
            assert admission is Admission.WAIT
        if admission is Admission.GO:
            assert not self.open
            self.flying += 1
        if admission is Admission.PROBE:
            assert self.open
            assert not self.probing
            self.probing = True

    @precondition(lambda self: self.flying)
    @rule(good=st.booleans())
    def land(self, good: bool) -> None:
        self.flying -= 1
        self.report(good, probe=False)

    @precondition(lambda self: self.probing)
    @rule(good=st.booleans())
    def land_probe(self, good: bool) -> None:
        self.report(good, probe=True)
        self.probing = False

    def report(self, good: bool, *, probe: bool) -> None:
        if good:
            self.breaker.record_success()
            self.in_a_row, self.open = 0, False
            self.probing = False
        else:
            self.breaker.record_failure(SILENCE, probe=probe)
            self.in_a_row += 1
            self.open = self.open or probe or self.in_a_row >= RULE.failures

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def never_open_without_failures(self) -> None:
        if self.in_a_row == 0:
            assert not self.open


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def failing(times: int, fault: ServiceFault = SILENCE) -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    breaker = CircuitBreaker(RULE, clock)
    for _ in range(times):
        assert breaker.admit() is Admission.GO
        breaker.record_failure(fault)
    return breaker, clock


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    assert failing(2)[0].admit() is Admission.GO
    assert failing(3)[0].admit() is Admission.STOP


def test_an_answer_between_failures_resets_the_count() -> None:
    breaker, _ = failing(2)
    breaker.record_success()
    breaker.record_failure(SILENCE)
    breaker.record_failure(SILENCE)
    assert breaker.admit() is Admission.GO


def test_after_the_pause_one_probe_goes_out_and_the_others_wait() -> None:
    breaker, clock = failing(3)
    clock.now += RULE.delay
    assert [breaker.admit() for _ in range(3)] == [
        Admission.PROBE,
        Admission.WAIT,
        Admission.WAIT,
    ]
    breaker.record_success()
    assert breaker.admit() is Admission.GO


def test_a_failed_probe_opens_for_another_pause() -> None:
    breaker, clock = failing(3)
    clock.now += RULE.delay
    assert breaker.admit() is Admission.PROBE
    breaker.record_failure(SILENCE, probe=True)
    assert breaker.admit() is Admission.STOP
    clock.now += RULE.delay
    assert breaker.admit() is Admission.PROBE


def test_a_late_failure_changes_neither_pause_nor_probe() -> None:
    breaker, clock = failing(3)
    clock.now += RULE.delay
    assert breaker.admit() is Admission.PROBE
    breaker.record_failure(SILENCE)
    assert breaker.admit() is Admission.WAIT


def test_a_long_retry_after_opens_at_once_but_not_for_ever() -> None:
    breaker, clock = failing(1, ServiceFault("HTTP status 429", wait=1e9))
    clock.now += RULE.longest - 1
    assert breaker.admit() is Admission.STOP
    clock.now += 1
    assert breaker.admit() is Admission.PROBE


def test_a_short_retry_after_counts_as_any_failure() -> None:
    assert failing(2, ServiceFault("HTTP status 429", wait=1.0))[0].admit() is Admission.GO


def test_open_fault_has_remaining_time_and_last_reason() -> None:
    breaker, clock = failing(3, ServiceFault("refused with HTTP status 401", Reason.REFUSED))
    clock.now += 4
    service_fault = breaker.open_fault()
    assert service_fault.reason is Reason.REFUSED
    assert service_fault.detail == (
        "not asked for another 6 s after 3 failures in a row,"
        " the last one: refused with HTTP status 401"
    )
