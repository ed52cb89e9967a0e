"""The Instant Image Identifier of EOKM/Offlimits, protocol v1 (formerly HashCheckService).

``POST {base}/v1/check/{format}`` with HTTP Basic; the body is the bare hash in lower-case hex, the
answer the literal text ``true`` or ``false``: known or not, no list, no category, one hash per
request.  ``/v1/test/check/{format}`` asks the service's test list.  This is how two independent
public clients use it (SCART, ``scartHASHcheck.php``; Shimmie, ``ext/eokm``); the content type is
the one that PHP's cURL sends for both.  There is no public documentation, so path and formats can
be configured.  Anything but a literal answer with status 200 is undetermined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import CSAM
from hashwacht.ipc.messages import ServiceHit, SignalKey
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault
from hashwacht.matching.services.answer_decoder import MalformedAnswer, decode_answer
from hashwacht.matching.services.base import HttpRequest, ServiceProtocol, word_pairs

CONTENT_TYPE = "application/x-www-form-urlencoded"

_KNOWN = (ServiceHit(CSAM, 0),)


@dataclass(frozen=True)
class EokmProtocol(ServiceProtocol):
    """Lookup of one digest at an Instant Image Identifier.

    *signal_types* maps our signal types to the formats in the path; md5 is what every public
    client uses.  Raises ConfigurationError for a path without a place for the format.
    """

    signal_types: Mapping[str, str] = field(default_factory=lambda: {"md5": "md5"})
    path: str = "/v1/check/{format}"

    def __post_init__(self) -> None:
        """Check the path: without the leading slash it would continue the host name."""
        path = self.path
        if not path.startswith("/") or path.count("{format}") != 1 or path.count("{") != 1:
            raise ConfigurationError(
                f"the path {path!r} is not a template for lookups",
                advice="Begin it with a slash and include {format} once: /v1/check/{format}.",
            )

    @property
    def accepts(self) -> frozenset[str]:
        """Return the configured signal types."""
        return frozenset(self.signal_types)

    def revision(self, base_url: str) -> str:
        """Return the text for address, path and formats."""
        return f"eokm/1 {base_url} {self.path} {word_pairs(self.signal_types)}"

    def request(self, signals: Sequence[SignalKey]) -> HttpRequest:
        """Return a POST of the bare hash to the path of its format."""
        [(signal_type, value)] = signals
        path = self.path.replace("{format}", self.signal_types[signal_type])
        return HttpRequest("POST", path, CONTENT_TYPE, value.encode())

    def parse(
        self, body: bytes, signals: Sequence[SignalKey]
    ) -> Sequence[ServiceAnswer] | ServiceFault:
        """Accept only the two literals, which are those of JSON."""
        try:
            known = decode_answer(body, bool)
        except MalformedAnswer:
            return ServiceFault("the answer is neither true nor false")
        return [_KNOWN if known else ()] * len(signals)
