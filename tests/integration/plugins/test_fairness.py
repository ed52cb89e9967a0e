"""No uploader chooses what happens to an upload by keeping the workers busy."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from hashwacht import Checker, CheckResult, Outcome, Reason, UploadContext
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht.uploads.local import LocalBackend, ResultStorage
from hashwacht_plugins.policy import OnMatch, OnUndetermined, Policy, UploadAction

LISTED = b"listed bytes"
PLAN = Plan(("sha256", "pdq"), Limits(timeout=30, max_memory=512 << 20))
ATTACKER, OTHER = "192.0.2.66", "192.0.2.1"


@pytest.fixture
def matcher() -> KnowingMatcher:
    known = hashlib.sha256(LISTED).hexdigest()
    return KnowingMatcher({known}, accepts=frozenset({"sha256", "pdq"}))


@pytest.fixture
def checker(matcher: KnowingMatcher, tmp_path: Path) -> Iterator[Checker]:
    """Return a checker with one worker that misbehaves as contents demand, and a short queue."""
    pool = WorkerPool(PLAN, 1, task_factory="support.hostile.culprits:Culprits")
    store = Store.open(tmp_path / "state")
    pipeline = Pipeline(pool, MatcherSet([ConfiguredMatcher(matcher)]))
    backend = LocalBackend(pipeline, ResultStorage(store))
    with Checker(lambda: backend, max_pending=40) as current:
        yield current
        pool.close()  # does not wait for contents that hang


def submit(checker: Checker, content: bytes, address: str) -> Future[CheckResult]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return checker.submit(file.fileno(), UploadContext("2026-01-01T00:00:00Z", address))


def test_slow_pictures_do_not_choose_the_policy(checker: Checker, matcher: KnowingMatcher) -> None:
    slow = [submit(checker, b"hang %d" % number, ATTACKER) for number in range(16)]
    waiting = submit(checker, b"another", ATTACKER)
    listed = submit(checker, LISTED, ATTACKER).result(20)
    assert listed.outcome is Outcome.MATCH
    assert listed.recorded
    assert not waiting.done()
    assert not any(future.done() for future in slow)
    assert submit(checker, b"small", OTHER).result(20).outcome is Outcome.NO_MATCH
    own = waiting.result(20)
    assert (own.reason, own.recorded) == (Reason.OVERLOADED, True)
    assert hashlib.sha256(b"another").hexdigest() in matcher.asked


def test_each_signal_is_asked_once(checker: Checker, matcher: KnowingMatcher) -> None:
    result = submit(checker, b"small", OTHER).result(20)
    assert result.outcome is Outcome.NO_MATCH
    assert sorted(matcher.asked) == sorted({hashlib.sha256(b"small").hexdigest(), "0" * 64})


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (Policy(), UploadAction.REJECT),
        (Policy(on_undetermined=OnUndetermined.HOLD), UploadAction.REJECT),
        (Policy(on_match=OnMatch.HOLD), UploadAction.HOLD),
        (Policy(on_match=OnMatch.OBSERVE), UploadAction.ALLOW),
    ],
)
def test_what_a_client_prevents_is_treated_as_a_match(
    checker: Checker, policy: Policy, action: UploadAction
) -> None:
    waiting = [submit(checker, b"hang %d" % number, ATTACKER) for number in range(20)]
    refused = submit(checker, b"another", ATTACKER).result(0)
    assert refused.reason is Reason.OVERLOADED
    assert policy.decide([refused], malformed=False) == (
        action,
        policy.refused if action is UploadAction.ALLOW else policy.unavailable,
    )
    assert len(waiting) == 20
