"""What the workers for small contents do: read, digest and sniff what needs no decoder."""

from __future__ import annotations

import hashlib
import os

from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import CONTENT_KEY_TYPE, Fingerprint, Reason, Signal
from hashwacht.hashing import Plan
from hashwacht.hashing.content_reader import HEAD, TAIL
from hashwacht.hashing.formats import detect_format
from hashwacht.hashing.page_cache import read_beginning
from hashwacht.hashing.registry import Digest, hashers
from hashwacht.hashing.sniff import lacks_decoder, sniff
from hashwacht.hashing.workers.protocol import TaskFailure
from hashwacht.hashing.workers.small.small_protocol import MAX_SMALL_SIZE

_OTHER = TaskFailure(Reason.OTHER_KIND)
"""The content has to be read in the other way."""


def computes_digests(names: frozenset[str]) -> bool:
    """Return whether all digests of these *names* are those of the standard library."""
    return names <= {digest.name for digest in DIGESTS}


class SmallTask:
    """Digests small contents that are no pictures.  The file offset does not move."""

    def __init__(self, plan: Plan) -> None:
        """Compute the digests of *plan*; nothing if one of them is an operator's."""
        planned = hashers(plan)
        self._names = [hasher.name for hasher in planned if isinstance(hasher, Digest)]
        self._enabled = computes_digests(frozenset(self._names))
        self._decodes = len(self._names) < len(planned)

    def run(self, fd: int) -> tuple[Fingerprint | TaskFailure, None]:
        """Return digests and kind, or that *fd* has to be read in the other way.

        Raises OSError if the file system refuses.
        """
        size = os.fstat(fd).st_size
        if not self._enabled or size > MAX_SMALL_SIZE:
            return _OTHER, None
        content = read_beginning(fd, size + 1)
        if len(content) != size:
            return _OTHER, None  # it changes, or its file system reads less than it is asked for
        head = content[:HEAD]
        if self._decodes and detect_format(head) is not None:
            return _OTHER, None
        kind = sniff(head, content[-TAIL:])
        if self._decodes and lacks_decoder(kind):
            return _OTHER, None
        key = hashlib.sha256(content, usedforsecurity=False).hexdigest()
        signals = tuple(Signal(name, self._digest(name, content, key)) for name in self._names)
        return Fingerprint(key, size, kind, (), signals), None

    def _digest(self, name: str, content: bytes, key: str) -> str:
        if name == CONTENT_KEY_TYPE:
            return key
        return hashlib.new(name, content, usedforsecurity=False).hexdigest()
