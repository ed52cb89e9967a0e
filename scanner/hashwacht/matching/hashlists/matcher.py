"""The matcher that answers from the hash lists installed on this machine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hashwacht.core.errors import ListError, UsageError
from hashwacht.core.ports import Query
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Answer, Diagnostic, Match, Reason, Signal
from hashwacht.matching.hashlists.manifest import HashList
from hashwacht.matching.hashlists.reader import InstalledLists, ListHit, ListReloader, MappedList
from hashwacht.matching.lookup import NOT_KNOWN, SignalAnswer, combine

MAX_MATCHES = 32
"""Matches in the answer to one signal; the known-good ones are counted for themselves."""

NO_LIST = "no hash list is installed"
TOO_NEAR = "computed quickly, and an entry is so near that only the exact hash can tell"

MAX_REMEMBERED = 10_000
"""Quick values that are kept as far from all entries until they are asked about: 2 MB."""

_Value = tuple[str, str]
_Found = tuple[HashList, ListHit]
_Known = tuple[list[_Found], str, bool]
"""What the lists say of one value: the entries that match, which lists could not say, and
whether the value, being quick, is too near the radius of some entry to say."""


class HashListMatcher:
    """Looks signals up in all lists of a directory.  Implements the Matcher port.

    Lists that any process imports, changes or removes are noticed at the next question.
    Without a list that accuses, nothing is judged: the answer is UNDETERMINED(NOT_JUDGED), for
    NO_MATCH would say that the content is not on lists that nobody has.  A signal type that
    no list holds is no gap as long as another signal of the content is judged.
    """

    def __init__(
        self, directory: Path, name: str = "hashlist", clock: Callable[[], float] = time.time
    ) -> None:
        """Answer from the lists in *directory*, which need not exist yet."""
        self._directory = directory
        self._name = name
        self._clock = clock
        self._watch = ListReloader(directory)
        self._far: dict[_Value, str] = {}
        self._closed = False

    @property
    def name(self) -> str:
        """The name the configuration gives it."""
        return self._name

    @property
    def accepts(self) -> frozenset[str]:
        """All built-in types, whatever the lists hold today, and those of operators' lists."""
        return frozenset(BUILT_IN) | self._watch.lists().types

    @property
    def revision(self) -> str:
        """16 hexadecimal digits over the terms and contents of all lists."""
        return self._watch.lists().revision

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Search every list for every signal; equal values of a batch are searched once.

        A list that cannot be searched leaves what it might know UNDETERMINED(UNANSWERED).
        Raises UsageError after close.
        """
        if self._closed:
            raise UsageError(f"matcher {self._name!r} is closed")
        search = _Search(self._name, self._watch.lists(), self._far)
        return [
            combine(
                self._name,
                search.heard(question),
                asked_at=self._clock(),
                revision=search.revision,
            )
            for question in questions
        ]

    def needs_exact_hash(self, question: Sequence[Signal]) -> bool:
        """Say if a quick signal is, or may be, near an entry; a damaged list says nothing here."""
        lists = self._watch.lists()
        return any(self._is_near(lists, signal) for signal in question if signal.error_bits)

    def _is_near(self, lists: InstalledLists, signal: Signal) -> bool:
        """Search all lists, and remember what is far from every entry for the question to come."""
        near = any(_reaches(each, signal) for each in lists.open.values())
        if not near and not lists.damaged:
            if len(self._far) >= MAX_REMEMBERED:
                self._far.clear()
            self._far[signal.type, signal.value] = lists.revision
        return near

    def check(self) -> Diagnostic:
        """Say which lists are installed and whether they can be searched."""
        lists = self._watch.lists()
        subject = f"matcher {self._name!r}"
        if lists.unusable:
            return Diagnostic(subject, False, lists.unusable, lists.advice)
        if lists.damaged:
            faults = "; ".join(f"list {name!r}: {why}" for name, why in lists.damaged.items())
            advice = "Run 'hashwacht lists verify', then import the damaged lists again."
            return Diagnostic(subject, False, f"lists cannot be searched: {faults}", advice)
        if not lists.judging_types:
            detail = "only known-good lists are installed" if lists.known else NO_LIST
            advice = "Run 'hashwacht lists import NAME FILE', or configure another matcher."
            return Diagnostic(subject, False, f"{detail}: it cannot judge anything", advice)
        shown = ", ".join(
            f"{each.name} ({each.entries} {'known-good ' * each.known_good}entries)"
            for each in lists.known.values()
        )
        return Diagnostic(subject, True, f"lists: {shown}")

    def close(self) -> None:
        """Unmap the lists."""
        self._closed = True
        self._watch.forget()


class _Search:
    """One batch of questions, answered from the lists of one moment."""

    def __init__(self, matcher: str, lists: InstalledLists, far: dict[_Value, str]) -> None:
        self._matcher = matcher
        self._lists = lists
        self._known: dict[tuple[str, str, int], _Known] = {}
        self._far = far
        self._accepts = frozenset(BUILT_IN) | lists.types
        self._judged = lists.judging_types
        self.revision = lists.revision

    def heard(self, question: Query) -> list[SignalAnswer]:
        """Give what is known of every signal of a content."""
        judged = not self._judged.isdisjoint(signal.type for signal in question)
        return [self._heard(signal, judged=judged) for signal in question]

    def _heard(self, signal: Signal, *, judged: bool) -> SignalAnswer:
        if self._lists.unusable:
            return SignalAnswer(reason=Reason.UNANSWERED, detail=self._lists.unusable)
        if signal.type not in self._accepts:
            return SignalAnswer((), Reason.NOT_JUDGED, f"no hash list holds {signal.type}")
        key = (signal.type, signal.value, signal.error_bits)
        if key not in self._known:
            self._known[key] = self._searched(*key)
        found, fault, near = self._known[key]
        matches = tuple(self._match(signal, *each) for each in found)
        if fault:
            return SignalAnswer(matches, Reason.UNANSWERED, fault)
        if near:
            return SignalAnswer(matches, Reason.NEEDS_EXACT_HASH, f"{signal.type}: {TOO_NEAR}")
        if not judged:
            held = f"no hash list holds {signal.type}"
            return SignalAnswer(matches, Reason.NOT_JUDGED, held if self._lists.known else NO_LIST)
        return SignalAnswer(matches) if matches else NOT_KNOWN

    def _searched(self, signal_type: str, value: str, slack: int) -> _Known:
        """Search every list; go on if one is damaged, for another may know the value.

        Of a quick value only those matches are told that the exact value has as well; none if
        an entry that is known to be good might set them aside.
        """
        if slack and self._far.pop((signal_type, value), "") == self.revision:
            return [], "", False
        found: list[_Found] = []
        faults = self._faults(signal_type) if self._lists.damaged else []
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            return [], f"not a value of type {signal_type}", False
        for name, each in self._lists.open.items():
            try:
                found += [(each.info, hit) for hit in each.hits(signal_type, raw, slack)]
            except ListError as error:
                faults.append(f"hash list {name!r}: {error.message}")
        sure = _sure(found, signal_type, slack) if slack else found
        return _bounded(sure), "; ".join(faults), len(sure) < len(found)

    def _faults(self, signal_type: str) -> list[str]:
        """Name the lists of this type that cannot be searched."""
        return [
            f"hash list {name!r}: {why}"
            for name, why in self._lists.damaged.items()
            if signal_type in self._lists.known[name].types
        ]

    def _match(self, signal: Signal, info: HashList, hit: ListHit) -> Match:
        return Match(
            self._matcher, signal, hit.distance, hit.category, info.name, hit.id, info.known_good
        )


def _sure(found: Sequence[_Found], signal_type: str, slack: int) -> list[_Found]:
    """Keep what the exact value matches as well; nothing if an entry known to be good may too."""
    sure = [
        (info, hit) for info, hit in found if hit.distance + slack <= info.types[signal_type].radius
    ]
    unsure = [info for info, hit in found if (info, hit) not in sure]
    return [] if any(info.known_good for info in unsure) else sure


def _reaches(each: MappedList, signal: Signal) -> bool:
    """Say if a list has an entry that the exact value of a quick signal may match."""
    try:
        return bool(each.hits(signal.type, bytes.fromhex(signal.value), signal.error_bits))
    except ListError:
        return False


def _bounded(found: Sequence[_Found]) -> list[_Found]:
    """Keep the nearest, but of every list and category at least its nearest, if there is room."""
    if len(found) <= 1:
        return list(found)
    bad = _nearest(each for each in found if not each[0].known_good)
    return [*bad, *_nearest(each for each in found if each[0].known_good)]


def _nearest(found: Iterable[_Found]) -> list[_Found]:
    ordered = sorted(found, key=_distance)
    if len(ordered) <= MAX_MATCHES:
        return ordered
    groups = {(info.name, hit.category): None for info, hit in ordered}
    firsts = [
        next(each for each in ordered if (each[0].name, each[1].category) == group)
        for group in itertools.islice(groups, MAX_MATCHES)
    ]
    rest = [each for each in ordered if not any(each is first for first in firsts)]
    return sorted([*firsts, *rest][:MAX_MATCHES], key=_distance)


def _distance(found: _Found) -> int:
    return found[1].distance
