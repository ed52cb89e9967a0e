"""The Instant Image Identifier of EOKM/Offlimits, protocol v1 (formerly HashCheckService).

``POST {base}/v1/check/{format}``, HTTP Basic, the body is the bare hash in lower-case hex, the
answer the literal text ``true`` or ``false``: known or not, no list, no category, one hash a
request.  ``/v1/test/check/{format}`` is the service's test path.  As two independent public
clients speak it (SCART, ``scartHASHcheck.php``; Shimmie, ``ext/eokm``); the content type is
the one that both, by PHP's cURL, put on the wire.  There is no public documentation, so paths
and formats are arguments.  Anything but a literal answer with status 200 is undetermined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import CSAM
from hashwacht.ipc.messages import ServiceHit, SignalKey
from hashwacht.matching.questions import ServiceAnswer, ServiceFault
from hashwacht.matching.services.base import ServiceMatcher
from hashwacht.matching.services.client import ServiceClient
from hashwacht.matching.services.http import HttpRequest
from hashwacht.matching.services.service_config import eokm_revision

SIGNAL_TYPES: Mapping[str, str] = {"md5": "md5", "sha1": "sha1"}
"""Our signal types and the words the service has for them; md5 is what every client uses."""

CONTENT_TYPE = "application/x-www-form-urlencoded"

_LITERAL: Mapping[bytes, tuple[ServiceHit, ...]] = {b"true": (ServiceHit(CSAM, 0),), b"false": ()}


class EokmMatcher(ServiceMatcher):
    """Asks an Instant Image Identifier.  Thread-safe."""

    def __init__(
        self,
        name: str,
        client: ServiceClient,
        *,
        signal_types: Mapping[str, str] = SIGNAL_TYPES,
        path: str = "/v1/check/{format}",
        test_path: str = "/v1/test/check/{format}",
        use_test_list: bool = False,
    ) -> None:
        """*signal_types* maps our types to path words; *use_test_list* selects the test path.

        Raises ConfigurationError for a path that is none or has no place for the format.
        """
        self._formats = dict(signal_types)
        self._path = _require_template(test_path if use_test_list else path)
        revision = eokm_revision(client.service.base_url, self._path, signal_types)
        super().__init__(name, client, signal_types, revision)

    def _ask(self, keys: Sequence[SignalKey]) -> dict[SignalKey, ServiceAnswer]:
        requests = [
            HttpRequest(
                "POST",
                self._path.replace("{format}", self._formats[kind]),
                CONTENT_TYPE,
                value.encode(),
            )
            for kind, value in keys
        ]
        return dict(zip(keys, self._client.request_all(requests, _read), strict=True))


def _require_template(path: str) -> str:
    """Let a path through that begins with a slash, else it would continue the host's name."""
    if not path.startswith("/") or path.count("{format}") != 1 or path.count("{") != 1:
        raise ConfigurationError(
            f"the path {path!r} is no template for a check",
            advice="It begins with a slash and has one {format}, as in /v1/check/{format}.",
        )
    return path


def _read(body: bytes) -> ServiceAnswer:
    """Only the two literals are answers."""
    answer = _LITERAL.get(body.strip())
    return ServiceFault("an answer that is neither true nor false") if answer is None else answer
