"""No order of uploads, verdicts, retries, lost keys and decisions loses a file."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from hashwacht.cases.action_limit import LimitApprovals
from hashwacht.cases.decisions import CaseDecisions
from hashwacht.core.types import Action, Verdict
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.settings import ActionLimitSettings, MatchAction, RootSettings, UndeterminedAction
from hashwacht.storage.action_limits import ApprovalDecision
from hashwacht.storage.locations import LocationState
from support.cases import NEAR, NO_MATCH, NOWHERE, UNANSWERED, CaseHarness

NAMES = st.sampled_from(("a", "b", "c", "d"))
CONTENTS = st.sampled_from((b"one", b"two"))
VERDICTS = st.sampled_from((None, NEAR, NO_MATCH, UNANSWERED))
POLICIES = st.builds(
    RootSettings,
    name=st.just("www"),
    on_exact_match=st.sampled_from(MatchAction),
    on_similar_match=st.sampled_from(MatchAction),
    on_undetermined=st.sampled_from(UndeterminedAction),
)
MODE = 0o640


class Hosting(RuleBasedStateMachine):
    """Random events at a hosting provider: the files always agree with the records."""

    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        guard = ActionLimitSettings(per_hash=2, per_root=3, per_account=2)
        self.harness = CaseHarness(self.home, limits=guard).open()
        self.policy = RootSettings("www")

    @property
    def decisions(self) -> CaseDecisions:
        return self.harness.decisions()

    @property
    def approvals(self) -> LimitApprovals:
        return LimitApprovals(self.harness.ledger, self.harness.lock)

    @rule(name=NAMES, content=CONTENTS, verdict=VERDICTS)
    def upload(self, name: str, content: bytes, verdict: Verdict | None) -> None:
        """Write a file, replacing any file of that name, and judge it."""
        path = self.harness.files / name
        path.unlink(missing_ok=True)
        self.harness.file(name, content, uid=5000 + ord(name))
        path.chmod(MODE)
        self.apply(path, verdict)

    @precondition(lambda self: any(self.harness.files.iterdir()))
    @rule(number=st.integers(0, 9), verdict=VERDICTS, touched=st.booleans())
    def look_again(self, number: int, verdict: Verdict | None, touched: bool) -> None:
        """Judge a file again, perhaps after its owner changed its permissions."""
        files = sorted(self.harness.files.iterdir())
        path = files[number % len(files)]
        if touched:
            path.chmod(MODE)
        self.apply(path, verdict)

    @precondition(lambda self: any(self.harness.files.iterdir()))
    @rule(number=st.integers(0, 9), name=NAMES, verdict=VERDICTS, observed=st.booleans())
    def rename(self, number: int, name: str, verdict: Verdict | None, observed: bool) -> None:
        """Rename a file, perhaps over another one, and judge it unless it is not watched."""
        files = sorted(self.harness.files.iterdir())
        path = files[number % len(files)].rename(self.harness.files / name)
        if observed:
            self.apply(path, verdict)

    @precondition(lambda self: any(self.harness.files.iterdir()))
    @rule(number=st.integers(0, 9), verdict=VERDICTS)
    def recheck(self, number: int, verdict: Verdict | None) -> None:
        """Judge a content by its stored signals at its present path."""
        files = sorted(self.harness.files.iterdir())
        path = files[number % len(files)]
        fd = os.open(path, os.O_RDONLY)
        file = replace(self.harness.judged(bytes(path), fd, verdict), fd=None, id=NOWHERE)
        os.close(fd)
        self.agrees(path, verdict, self.harness.processor.apply_verdict(file))

    def apply(self, path: Path, verdict: Verdict | None) -> None:
        self.agrees(path, verdict, self.harness.apply(bytes(path), verdict, root=self.policy))

    def agrees(self, path: Path, verdict: Verdict | None, action: Action) -> None:
        """Compare the recorded state with the file."""
        assert path.exists() == (action is not Action.QUARANTINE)
        if path.exists():
            is_held = stat.S_IMODE(path.stat().st_mode) == 0
            assert is_held == (action is Action.HOLD)
        if verdict is NO_MATCH:
            assert action is Action.ALLOW

    @rule(policy=POLICIES)
    def configure(self, policy: RootSettings) -> None:
        self.policy = policy
        self.harness.root = policy
        self.harness.processor = self.harness.with_root(policy)

    @rule(seconds=st.sampled_from((1.0, 61.0, 4000.0)))
    def wait(self, seconds: float) -> None:
        self.harness.retry(seconds)

    @rule(able=st.booleans())
    def configure_the_key(self, able: bool) -> None:
        """Set or remove the key, without which nothing can be sealed."""
        recipients = (self.harness.keys.public,) if able else ()
        self.harness.seal_for(*recipients)

    @rule(number=st.integers(0, 3), act=st.sampled_from(("restore", "release", "close", "destroy")))
    def decide(self, number: int, act: str) -> None:
        cases = self.harness.store.cases.load_latest(9)
        if not cases:
            return
        case = cases[number % len(cases)]
        secrets = (self.harness.keys.secret,)
        if act == "close":
            self.decisions.close(case, "why")
        elif act == "release":
            for _ in self.decisions.release(case, RestoreRequest("why", secrets)):
                pass
        else:
            states = (LocationState.QUARANTINED, LocationState.HELD)
            for location in self.harness.store.locations.load_by_content(case.key, 1, *states):
                if act == "restore":
                    self.decisions.restore(location, RestoreRequest("why", secrets))
                else:
                    self.decisions.destroy(location, "why")

    @precondition(lambda self: bool(self.harness.store.action_limits.load_latest(1)))
    @rule(decision=st.sampled_from(("approve", "discard")))
    def decide_about_a_limit(self, decision: str) -> None:
        (limit,) = self.harness.store.action_limits.load_latest(1)
        if limit.decision is ApprovalDecision.DISCARDED:
            self.approvals.reinstate(limit.id, "why")
        else:
            getattr(self.approvals, decision)(limit.id, "why")

    @invariant()
    def log_storage_and_vault_agree(self) -> None:
        assert self.harness.evidence() == []

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every location recorded as held is held, and the vault holds what is quarantined."""
        for case in self.harness.store.cases.load_latest(9):
            for location in self.harness.store.locations.load_by_content(case.key):
                assert location.state is not LocationState.PENDING
                if location.state is LocationState.QUARANTINED:
                    record = self.harness.vault.find(location.vault)
                    assert record is not None
                    assert record.state == "sealed"
                    assert record.attributes.mode == MODE, "the mode from before the hold"

    def teardown(self) -> None:
        """Withdraw all verdicts: every remaining file can be served again."""
        for path in self.harness.files.iterdir():
            self.harness.apply(bytes(path), NO_MATCH, root=RootSettings("www"))
            assert stat.S_IMODE(path.stat().st_mode) == MODE
        assert self.harness.audit.verify() is None
        self.harness.close()
        shutil.rmtree(self.home)


TestHosting = Hosting.TestCase
TestHosting.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
