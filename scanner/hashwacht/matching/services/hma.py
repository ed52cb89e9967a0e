"""Meta's Hasher-Matcher-Actioner 2.x ("OpenMediaMatch"): lookup by signal.

``GET {base}/m/lookup?signal=...&signal_type=...[&banks=A,B]`` answers, with status 200,
``{"BANK": [{"bank_content_id": 1, "distance": "4"}]}`` (``"-"`` for types without distance)
and ``{}`` for no match; 503 while its index is not ready.  One signal a request, no
authentication of its own (put a proxy with client certificates before it).  Source:
facebook/ThreatExchange, hasher-matcher-actioner, ``blueprints/matching.py``; tried with it.

Two ways in which a 200 without matches is no honest negative answer:

- A bank whose ``matching_enabled_ratio`` is below 1 answers by lot, and a lookup by signal
  cannot ask it not to: use banks with ratio 1.0.
- An index that is empty, stale or damaged (one of exactly one PDQ hash finds nothing once it
  has been reloaded) answers 200 as well.  Hence the *known_signal*: a signal that is known to be in
  a bank, asked by :meth:`HmaMatcher.check`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import CSAM, Diagnostic, Signal
from hashwacht.ipc.messages import ServiceHit, SignalKey
from hashwacht.matching import questions
from hashwacht.matching.questions import ServiceAnswer, ServiceFault, lookup_keys
from hashwacht.matching.services.base import ServiceMatcher
from hashwacht.matching.services.client import ServiceClient
from hashwacht.matching.services.http import HttpRequest
from hashwacht.matching.services.service_config import hma_revision

SIGNAL_TYPES: Mapping[str, str] = {"pdq": "pdq"}
"""Our signal types and theirs; add ``md5: video_md5`` only where their banks hold videos."""

_GARBAGE = ServiceFault("an answer that is no list of matches by bank")


class HmaMatcher(ServiceMatcher):
    """Asks a Hasher-Matcher-Actioner.  Thread-safe."""

    def __init__(
        self,
        name: str,
        client: ServiceClient,
        *,
        signal_types: Mapping[str, str] = SIGNAL_TYPES,
        banks: Collection[str] = (),
        categories: Mapping[str, str] | None = None,
        category: str = CSAM,
        known_signal: Signal | None = None,
    ) -> None:
        """Take what the operator knows of the far side.

        *banks* restricts the lookup (empty: all).  *categories* says what the matches of a
        bank mean; a bank it does not name means *category*.  That is ``csam`` unless told
        otherwise: a bank filled for this purpose and forgotten in the configuration must
        not lose its meaning.  Raises ConfigurationError for a *known_signal* that cannot be asked.
        """
        self._theirs = dict(signal_types)
        self._banks = ",".join(sorted(banks))
        self._categories = dict(categories or {})
        self._category = category
        self._known_signal = (
            None if known_signal is None else _require_key(known_signal, signal_types)
        )
        revision = hma_revision(
            client.service.base_url, signal_types, banks, category, self._categories
        )
        super().__init__(name, client, signal_types, revision)

    def check(self) -> Diagnostic:
        """Ask for the canary, which must be known, or else for something that cannot be."""
        if self._known_signal is None:
            return super().check()
        heard = self._ask([self._known_signal])[self._known_signal]
        if isinstance(heard, ServiceFault):
            return questions.finding_from_fault(self.name, heard)
        if heard:
            return Diagnostic(self.name, ok=True, detail="knows its known signal")
        return Diagnostic(
            self.name,
            ok=False,
            detail="does not know its known signal, so its negative answers mean nothing",
            advice="See its index status, wait 90 s after a change, keep two hashes or more.",
        )

    def _ask(self, keys: Sequence[SignalKey]) -> dict[SignalKey, ServiceAnswer]:
        requests = [HttpRequest("GET", self._path(kind, value)) for kind, value in keys]
        return dict(zip(keys, self._client.request_all(requests, self._read), strict=True))

    def _path(self, kind: str, value: str) -> str:
        query = {"signal": value, "signal_type": self._theirs[kind]}
        return "/m/lookup?" + urlencode(query | ({"banks": self._banks} if self._banks else {}))

    def _read(self, body: bytes) -> ServiceAnswer:
        """Every match of every bank; one entry that makes no sense spoils the answer."""
        try:
            banks: dict[str, Any] = json.loads(body)
            return tuple(
                self._hit(bank, entry) for bank, told in banks.items() for entry in _list(told)
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return _GARBAGE

    def _hit(self, bank: str, entry: Any) -> ServiceHit:
        return ServiceHit(
            self._categories.get(bank, self._category),
            _distance(entry["distance"]),
            bank,
            str(int(entry["bank_content_id"])),
        )


def _require_key(known_signal: Signal, accepts: Collection[str]) -> SignalKey:
    try:
        [key] = lookup_keys([(known_signal,)], accepts)
    except ValueError:
        raise ConfigurationError(
            "known_signal is no lower-case hexadecimal signal of a configured type",
            advice="Write it as type:value, with a type that this matcher asks for.",
        ) from None
    return key


def _list(told: Any) -> list[Any]:
    if not isinstance(told, list):
        raise TypeError
    return told


def _distance(told: object) -> int | None:
    """Read a distance: a number of bits in a string, as threatexchange prints it.

    Types that are compared for equality print ``-``, others what they like (``95%``); such a
    match is no less a match.
    """
    return int(told) if isinstance(told, str) and told.isascii() and told.isdigit() else None
