"""Meta's Hasher-Matcher-Actioner 2.x ("OpenMediaMatch"): lookup by signal.

``GET {base}/m/lookup?signal=...&signal_type=...[&banks=A,B]`` answers, with status 200,
``{"BANK": [{"bank_content_id": 1, "distance": "4"}]}`` (``"-"`` for types without distance)
and ``{}`` for no match; 503 while its index is not ready.  One signal per request; it has no
authentication (put a proxy with client certificates in front of it).  Source:
facebook/ThreatExchange, hasher-matcher-actioner, ``blueprints/matching.py``; tested with it.

Two cases in which status 200 without matches does not mean that the signal is unknown:

- A bank with a ``matching_enabled_ratio`` below 1 answers at random, and a lookup by signal
  cannot change that: use banks with ratio 1.0.
- An empty, outdated or damaged index (one with exactly one PDQ hash finds nothing once it
  has been reloaded) answers 200 as well.  Checks therefore look up *known_signal*, a signal that
  one of the banks contains.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlencode

from msgspec import Meta, Struct

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import CSAM
from hashwacht.ipc.messages import MAX_DISTANCE, ServiceHit, SignalKey
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault, is_canonical
from hashwacht.matching.services.answer_decoder import MalformedAnswer, decode_answer
from hashwacht.matching.services.base import HttpRequest, ServiceProtocol, word_pairs


class _BankEntry(Struct, frozen=True):
    bank_content_id: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    distance: Annotated[str, Meta(max_length=64)]


@dataclass(frozen=True)
class HmaProtocol(ServiceProtocol):
    """Lookup of one signal at a Hasher-Matcher-Actioner.

    *signal_types* maps our signal types to those of HMA; add ``md5: video_md5`` only if its banks
    contain videos.  *banks* restricts the lookup (empty: all).  *categories* maps banks to the
    category of their matches; other banks get *category*.  That defaults to csam: a bank that was
    added for this purpose but is missing in the configuration must not lose its meaning.
    Raises ConfigurationError for a *known_signal* that cannot be looked up.
    """

    signal_types: Mapping[str, str] = field(default_factory=lambda: {"pdq": "pdq"})
    banks: Collection[str] = ()
    categories: Mapping[str, str] = field(default_factory=dict)
    category: str = CSAM
    known_signal: SignalKey | None = None

    def __post_init__(self) -> None:
        if self.known_signal is None:
            return
        signal_type, value = self.known_signal
        if signal_type not in self.signal_types or not is_canonical(value):
            raise ConfigurationError(
                "known_signal is not a lower-case hexadecimal signal of a configured type",
                advice="Write it as type:value, with a type from signal_types of this matcher.",
            )

    @property
    def accepts(self) -> frozenset[str]:
        """Return the configured signal types."""
        return frozenset(self.signal_types)

    def revision(self, base_url: str) -> str:
        """Return the text for address, types, banks and categories."""
        banks = ",".join(sorted(self.banks)) or "*"
        types, categories = word_pairs(self.signal_types), word_pairs(self.categories)
        return f"hma/2 {base_url} {types} {banks} {self.category} {categories}"

    def request(self, signals: Sequence[SignalKey]) -> HttpRequest:
        """Return a GET with the signal in the query."""
        [(signal_type, value)] = signals
        query = {"signal": value, "signal_type": self.signal_types[signal_type]}
        if self.banks:
            query["banks"] = ",".join(sorted(self.banks))
        return HttpRequest("GET", "/m/lookup?" + urlencode(query))

    def parse(
        self, body: bytes, signals: Sequence[SignalKey]
    ) -> Sequence[ServiceAnswer] | ServiceFault:
        """Return every match of every bank; one malformed entry makes the answer unusable."""
        try:
            banks = decode_answer(body, dict[str, list[_BankEntry]])
            hits = tuple(
                self._hit(bank, entry) for bank, entries in banks.items() for entry in entries
            )
        except MalformedAnswer:
            return ServiceFault("the answer is not a list of matches by bank")
        return [hits] * len(signals)

    def _hit(self, bank: str, entry: _BankEntry) -> ServiceHit:
        category, distance = self.categories.get(bank, self.category), _distance(entry.distance)
        return ServiceHit(category, distance, bank, str(entry.bank_content_id))


def _distance(text: str) -> int | None:
    """Parse a distance: a number of bits as a string, as threatexchange prints it.

    Types that are compared for equality print ``-``, others anything (``95%``); such a match
    counts like any other.  Raises MalformedAnswer for a number that no signal has bits for.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    if (distance := int(text)) > MAX_DISTANCE:
        raise MalformedAnswer("a distance is too large")
    return distance
