"""The matcher of the hash lists installed on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from hashwacht.core.errors import ListError, UsageError
from hashwacht.core.hash64 import distance_limit
from hashwacht.core.ports import Query
from hashwacht.core.signals import BUILT_IN, DIGESTS
from hashwacht.core.types import Answer, Diagnostic, Match, Reason, Signal
from hashwacht.core.views import VIEWED_TYPE, ViewKind, view_limit
from hashwacht.matching.hashlists.manifest import KNOWN_GOOD, HashList
from hashwacht.matching.hashlists.mapped_lists import (
    NO_LIMIT,
    InstalledLists,
    ListHit,
    ListReloader,
    MappedList,
)
from hashwacht.matching.lookup import NOT_KNOWN, SignalAnswer, combine

MAX_MATCHES = 32
"""Matches in the answer for one signal; known-good ones are counted separately."""

NO_LIST = "no hash list is installed"
TOO_NEAR = "an entry is so close that the exact hash is needed"

UBIQUITOUS = HashList(
    name="ubiquitous contents",
    category=KNOWN_GOOD,
    known_good=True,
    directory="",
    imported_at=0.0,
    source="",
    source_sha256="",
    lines=0,
    malformed=0,
)
"""The built-in list that suppresses matches with lists of versions that did not look for them."""

MAX_REMEMBERED = 10_000
"""Quick values remembered as far from all entries until they are looked up: 2 MB."""

_DIGEST_NAMES = frozenset(digest.name for digest in DIGESTS)

_Value = tuple[str, str, int]
"""Type and value of a signal, and the limit of the radius."""
_Hit = tuple[HashList, ListHit]
_SearchResult = tuple[list[_Hit], str, bool]
"""The matching entries of one value, the faults of lists that could not be searched, and whether a
quick value is too close to the radius of some entry."""


class HashListMatcher:
    """Looks signals up in all lists of a directory.  Implements the Matcher port.

    Lists that are imported, changed or removed by any process are used from the next query on.
    If only known-good lists are installed the answer is UNDETERMINED(NOT_JUDGED), because NO_MATCH
    would be a statement about lists that do not exist.  A signal type in no list does not matter
    as long as the lists contain another signal type of the content.
    """

    def __init__(
        self,
        directory: Path,
        name: str = "hashlist",
        clock: Callable[[], float] = time.time,
        *,
        view_radii: Mapping[ViewKind, int] = MappingProxyType({}),
    ) -> None:
        """*view_radii* limits the radius of a list for signals of these views."""
        self.name, self._view_radii = name, dict(view_radii)
        self._clock = clock
        self._reloader = ListReloader(directory)
        self._far: dict[_Value, str] = {}
        self._closed = False

    @property
    def accepts(self) -> frozenset[str]:
        """All digests, whether or not a list contains them, and all types of the lists.

        Lists of digests alone therefore need no decoder.
        """
        return _DIGEST_NAMES | self._reloader.lists().types

    @property
    def listed_types(self) -> frozenset[str]:
        """The types of all lists but known-good ones."""
        return self._reloader.lists().judging_types

    @property
    def revision(self) -> str:
        """16 hexadecimal digits over the properties and contents of all lists, and the radii."""
        return self._revision(self._reloader.lists())

    def _revision(self, lists: InstalledLists) -> str:
        if VIEWED_TYPE not in lists.types:
            return lists.revision
        radii = (f" {kind}={radius}" for kind, radius in sorted(self._view_radii.items()))
        return lists.revision + "".join(radii)

    def lookup(self, queries: Sequence[Query]) -> list[Answer]:
        """Search every list for every signal; equal values of a batch are searched once.

        If a list cannot be searched, the signals that it might contain are UNANSWERED.
        Raises UsageError after close.
        """
        if self._closed:
            raise UsageError(f"matcher {self.name!r} is closed")
        lists = self._reloader.lists()
        search = _Search(self.name, lists, self._far, self._limit)
        name, revision = self.name, self._revision(lists)
        return [
            combine(name, search.answers(query), asked_at=self._clock(), revision=revision)
            for query in queries
        ]

    def needs_exact_hash(self, query: Sequence[Signal]) -> bool:
        """Return whether a quick signal is close to an entry; damaged lists are ignored here."""
        lists = self._reloader.lists()
        return any(self._is_near(lists, signal) for signal in query if signal.error_bits)

    def _is_near(self, lists: InstalledLists, signal: Signal) -> bool:
        """Search all lists; remember values far from every entry for the following lookup."""
        limit = self._limit(signal)
        near = any(_is_within_reach(mapped, signal, limit) for mapped in lists.open.values())
        if not near and not lists.damaged:
            if len(self._far) >= MAX_REMEMBERED:
                self._far.clear()
            self._far[signal.type, signal.value, limit] = lists.revision
        return near

    def _limit(self, signal: Signal) -> int:
        """Return the greatest radius for a signal, whatever the radius of a list is."""
        if (limit := distance_limit(signal)) is not None:
            return limit
        if signal.type != VIEWED_TYPE or not signal.variant:
            return NO_LIMIT
        limit = view_limit(signal.variant, self._view_radii)
        return NO_LIMIT if limit is None else limit

    def check(self) -> Diagnostic:
        """Return which lists are installed and whether they can be searched."""
        lists = self._reloader.lists()
        subject = f"matcher {self.name!r}"
        if lists.unusable:
            return Diagnostic(subject, False, lists.unusable, lists.advice)
        if lists.damaged:
            faults = "; ".join(f"list {name!r}: {reason}" for name, reason in lists.damaged.items())
            advice = "Run 'hashwacht lists verify', then import the damaged lists again."
            return Diagnostic(subject, False, f"some lists cannot be searched: {faults}", advice)
        if not lists.judging_types:
            detail = "only known-good lists are installed" if lists.known else NO_LIST
            advice = "Run 'hashwacht lists import NAME FILE', or configure another matcher."
            return Diagnostic(subject, False, f"{detail}, so every file stays undetermined", advice)
        names = ", ".join(
            f"{info.name} ({info.entries} {'known-good ' * info.known_good}entries)"
            for info in lists.known.values()
        )
        return Diagnostic(subject, True, f"lists: {names}")

    def close(self) -> None:
        """Unmap the lists."""
        self._closed = True
        self._reloader.forget()


class _Search:
    def __init__(
        self,
        matcher: str,
        lists: InstalledLists,
        far: dict[_Value, str],
        limit: Callable[[Signal], int],
    ) -> None:
        self._matcher = matcher
        self._lists = lists
        self._results: dict[tuple[_Value, int], _SearchResult] = {}
        self._far, self._limit = far, limit
        # Any built-in type: a list may have been removed since the query was put together.
        self._accepts = frozenset(BUILT_IN) | lists.types
        self._judged = lists.judging_types
        self.revision = lists.revision

    def answers(self, query: Query) -> list[SignalAnswer]:
        judged = not self._judged.isdisjoint(signal.type for signal in query)
        return [self._answer(signal, judged=judged) for signal in query]

    def _answer(self, signal: Signal, *, judged: bool) -> SignalAnswer:
        if self._lists.unusable:
            return SignalAnswer(reason=Reason.UNANSWERED, detail=self._lists.unusable)
        if signal.type not in self._accepts:
            return SignalAnswer((), Reason.NOT_JUDGED, f"no hash list contains {signal.type}")
        key = (signal.type, signal.value, self._limit(signal)), signal.error_bits
        if key not in self._results:
            self._results[key] = self._search(*key)
        hits, fault, near = self._results[key]
        matches = tuple(self._match(signal, *hit) for hit in hits)
        if fault:
            return SignalAnswer(matches, Reason.UNANSWERED, fault)
        if near:
            return SignalAnswer(matches, Reason.NEEDS_EXACT_HASH, f"{signal.type}: {TOO_NEAR}")
        if not judged:
            detail = f"no hash list contains {signal.type}" if self._lists.known else NO_LIST
            return SignalAnswer(matches, Reason.NOT_JUDGED, detail)
        return SignalAnswer(matches) if matches else NOT_KNOWN

    def _search(self, wanted: _Value, slack: int) -> _SearchResult:
        """Search every list, also if one is damaged, because another may contain the value.

        For a quick value only matches are returned that the exact value has as well, and none if a
        known-good entry might suppress them.
        """
        signal_type, value, limit = wanted
        if slack and self._far.pop(wanted, "") == self.revision:
            return [], "", False
        hits: list[_Hit] = []
        faults = self._faults(signal_type) if self._lists.damaged else []
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            return [], f"not a value of type {signal_type}", False
        for name, mapped in self._lists.open.items():
            try:
                found = mapped.hits(signal_type, raw, slack, limit)
                hits += [(mapped.info, hit) for hit in found]
            except ListError as error:
                faults.append(f"hash list {name!r}: {error.message}")
        certain = _certain(hits, wanted, slack) if slack else hits
        near = len(certain) < len(hits)
        if certain and (ubiquitous := self._ubiquitous(signal_type, raw)):
            certain = [*certain, ubiquitous]
        return _bounded(certain), "; ".join(faults), near

    def _ubiquitous(self, signal_type: str, value: bytes) -> _Hit | None:
        """Return a known-good hit for a ubiquitous content of a list that was not screened."""
        for mapped in self._lists.open.values():
            if content := mapped.ubiquitous.get((signal_type, value)):
                return UBIQUITOUS, ListHit(0, UBIQUITOUS.category, content)
        return None

    def _faults(self, signal_type: str) -> list[str]:
        return [
            f"hash list {name!r}: {reason}"
            for name, reason in self._lists.damaged.items()
            if signal_type in self._lists.known[name].types
        ]

    def _match(self, signal: Signal, info: HashList, hit: ListHit) -> Match:
        return Match(
            self._matcher, signal, hit.distance, hit.category, info.name, hit.id, info.known_good
        )


def _certain(hits: Sequence[_Hit], wanted: _Value, slack: int) -> list[_Hit]:
    """Return the hits that the exact value has as well, none if known-good ones are uncertain."""
    signal_type, _, limit = wanted

    def is_certain(hit: _Hit) -> bool:
        return hit[1].distance + slack <= min(limit, hit[0].types[signal_type].radius)

    if any(hit[0].known_good and not is_certain(hit) for hit in hits):
        return []
    return [hit for hit in hits if is_certain(hit)]


def _is_within_reach(mapped: MappedList, signal: Signal, limit: int) -> bool:
    """Return whether a list has an entry that the exact value of a quick signal may match."""
    try:
        value = bytes.fromhex(signal.value)
        return bool(mapped.hits(signal.type, value, signal.error_bits, limit))
    except ListError:
        return False


def _bounded(hits: Sequence[_Hit]) -> list[_Hit]:
    """Return the nearest hits, including the nearest of each list and category if possible."""
    if len(hits) <= 1:
        return list(hits)
    bad = _nearest(hit for hit in hits if not hit[0].known_good)
    return [*bad, *_nearest(hit for hit in hits if hit[0].known_good)]


def _nearest(hits: Iterable[_Hit]) -> list[_Hit]:
    ordered = sorted(hits, key=_distance)
    if len(ordered) <= MAX_MATCHES:
        return ordered
    first_of_group: dict[tuple[str, str], _Hit] = {}
    for info, hit in ordered:
        first_of_group.setdefault((info.name, hit.category), (info, hit))
    firsts = list(first_of_group.values())[:MAX_MATCHES]
    kept = {id(hit) for _, hit in firsts}
    rest = [hit for hit in ordered if id(hit[1]) not in kept]
    return sorted([*firsts, *rest][:MAX_MATCHES], key=_distance)


def _distance(hit: _Hit) -> int:
    return hit[1].distance
