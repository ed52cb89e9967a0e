"""What the ASGI and the WSGI middleware have in common: the settings, and which bodies count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

from hashwacht import Checker, ConfigurationError
from hashwacht_plugins.multipart.body import Raw, body_of
from hashwacht_plugins.context import Facts, Peer
from hashwacht_plugins.multipart.events import Request
from hashwacht_plugins.policy import Policy
from hashwacht_plugins.protocols import Partial
from hashwacht_plugins.taking import no_room
from hashwacht_plugins.upload import Upload

CHUNK = 128 << 10
"""Bytes read at a time where the reader chooses."""

DRAIN = 16 << 20
"""Bytes of a refused body that are still read and forgotten: a client that is cut off while it
sends shows "connection reset" instead of the answer."""

READ_AS_FILE = (Raw(),)


class Settings(TypedDict, total=False):
    """The settings of a middleware, as :class:`Intake` explains them."""

    checker: Checker | None
    policy: Policy | None
    raw: Sequence[Raw]
    partial_paths: Sequence[str]
    facts: Facts | None


class Intake:
    """The settings of one middleware.  Frozen in practice; per-request state is in Upload."""

    def __init__(
        self,
        checker: Checker | None = None,
        *,
        policy: Policy | None = None,
        raw: Sequence[Raw] = READ_AS_FILE,
        partial_paths: Sequence[str] = (),
        facts: Facts | None = None,
    ) -> None:
        """Check with *checker*; None: one as the configuration says.

        *raw* are the requests whose whole body is a file, *partial_paths* those where tus, S3
        multipart, Content-Range or WebDAV chunks arrive, *facts* how to know who sends.  Raises
        ConfigurationError.
        """
        self._checker = Checker.configured() if checker is None else checker
        self._policy = policy or Policy()
        if fault := no_room(self._policy):
            raise ConfigurationError(
                fault, advice="Make it writable, or name another in the Policy."
            )
        self._raw = tuple(raw)
        self._partial = Partial(partial_paths, self._checker.note_partial)
        self._facts = facts or Facts()

    def upload(
        self, request: Request, peer: Callable[[], Peer], surroundings: object
    ) -> Upload | None:
        """Begin to look into the body of *request*; None: it is of no interest."""
        body = body_of(request, self._raw, self._policy.max_decoded)
        if self._partial.passes(request) or body is None:
            return None
        return Upload(
            body,
            self._policy,
            self._checker,
            lambda file: self._facts.circumstances(request, peer(), file, surroundings),
        )
