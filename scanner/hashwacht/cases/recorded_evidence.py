"""What the audit log records about cases and their files: the state that each must have now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hashwacht.audit.chain import JSON, AuditEntry
from hashwacht.audit.log import AuditEvent

_SETTLING = frozenset(
    {
        AuditEvent.HELD,
        AuditEvent.QUARANTINED,
        AuditEvent.RELEASED,
        AuditEvent.RESTORED,
        AuditEvent.DESTROYED,
        AuditEvent.GONE,
    }
)
"""Acts after which the state of a file is known."""


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """The content (SHA-256) of a case and its state, by its last act."""

    key: str
    state: str


@dataclass(slots=True)
class RecordedFile:
    """The last acts on one file.

    *act* is the one that settled its state, empty if none did.  *vault* is its vault entry and
    *record* the digest of the record there, *mode* the permissions from before its hold; each is
    empty if the log has none.  *owner* is the user id that the hold took the file from, if any.
    """

    case: int | None = None
    act: str = ""
    rule: str = ""
    vault: str = ""
    record: str = ""
    mode: str = ""
    owner: int | None = None

    def add(self, act: str, facts: Mapping[str, JSON]) -> None:
        """Add a further act."""
        case = facts.get("case")
        self.case, self.rule = case if isinstance(case, int) else None, _text(facts, "rule")
        self.record = _text(facts, "record") or self.record
        if act in _SETTLING:
            self.act = act
        elif act != AuditEvent.FAILED or "action" in facts:  # else the state stays as it was
            self.act = ""
        if act == AuditEvent.HELD:
            self.mode, owner = _text(facts, "mode"), facts.get("owner")
            self.owner = owner if isinstance(owner, int) else None
        if act == AuditEvent.QUARANTINED:
            self.vault = _text(facts, "vault")
            self.record = _text(facts, "record")


@dataclass(slots=True)
class RecordedEvidence:
    """Cases by number, files by content and number, and the findings that people accepted.

    *head* is the last entry that the storage knows (number and hash), None if it knows none;
    *has_head*: the log has it.  *later_acts* counts the acts on cases and limits after it.
    """

    head: tuple[int, str] | None = None
    has_head: bool = False
    later_acts: int = 0
    cases: dict[int, RecordedCase] = field(default_factory=dict)
    files: dict[tuple[str, int], RecordedFile] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)

    @classmethod
    def replay(
        cls, entries: Iterable[AuditEntry], head: tuple[int, str] | None = None
    ) -> RecordedEvidence:
        """Return what a log records, read from its first entry."""
        evidence = cls(head)
        for entry in entries:
            evidence._add(entry)
        return evidence

    def _add(self, entry: AuditEntry) -> None:
        facts = entry.facts
        if self.head == (entry.seq, entry.hash):
            self.has_head = True
        elif self.has_head and ("case" in facts or "limit" in facts):
            self.later_acts += 1
        if entry.act == AuditEvent.EVIDENCE_ACCEPTED:
            findings = facts.get("findings")
            self.accepted.update(map(str, findings if isinstance(findings, list) else ()))
            return
        case, number, key = facts.get("case"), facts.get("file"), _text(facts, "sha256")
        if isinstance(number, int):
            self.files.setdefault((key, number), RecordedFile()).add(entry.act, facts)
        elif isinstance(case, int) and "state" in facts:
            self.cases[case] = RecordedCase(key, _text(facts, "state"))


def _text(facts: Mapping[str, JSON], name: str) -> str:
    value = facts.get(name)
    return value if isinstance(value, str) else ""
