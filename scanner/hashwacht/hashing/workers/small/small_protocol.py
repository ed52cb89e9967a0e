"""The answers about small contents: packed records, as most files of a web site are small texts.

A request is :data:`~hashwacht.hashing.workers.protocol.REQUEST` with up to :data:`MAX_SMALL_BATCH`
descriptors.  The body of its answer has one :data:`_RECORD` for each content, in order, and then
all kinds without a separator.  A record says that the content needs digests only and states them,
or that it has to be read in the other way: it may be a picture, it cannot be read, or it changes.

As with every worker nothing in an answer is trusted: :class:`SmallReplyDecoder` checks lengths,
ranges and forms.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Sequence
from functools import lru_cache

from hashwacht.core.types import Fingerprint, Reason, Signal, Skip
from hashwacht.hashing.workers.protocol import Reply
from hashwacht.ipc.codec import ProtocolError

MAX_SMALL_BATCH = 32
"""Contents in one request.  More save nothing: a change of process costs 3 us for each of them."""

MAX_SMALL_SIZE = 256 << 10
"""Bytes up to which a content is small: all of a request wait for one another."""

_RECORD = struct.Struct("!BIB32s20s16s")
"""1 if the content needs digests only, its size, the length of its kind, SHA-256, SHA-1, MD5.

All zero if it does not.  A digest that is not planned is zero, too.
"""

_NONE = bytes(_RECORD.size)
_KIND = re.compile(rb"[ -~]{1,128}")


def encode_small(replies: Sequence[Reply]) -> bytes:
    """Return the body of an answer."""
    records, kinds = [], []
    for reply in replies:
        if isinstance(reply, Fingerprint):
            values = {signal.type: bytes.fromhex(signal.value) for signal in reply.signals}
            kind = reply.kind.encode("ascii")
            key, sha1, md5 = (
                bytes.fromhex(reply.key),
                values.get("sha1", b""),
                values.get("md5", b""),
            )
            records.append(_RECORD.pack(1, reply.size, len(kind), key, sha1, md5))
            kinds.append(kind)
        else:
            records.append(_NONE)
    return b"".join((*records, *kinds))


class SmallReplyDecoder:
    """Decodes the answers about small contents."""

    def __init__(
        self, recipe: tuple[str, ...], digests: Collection[str], others: Collection[str]
    ) -> None:
        """*digests* are the planned ones, *others* the types that need a picture."""
        self._recipe, self._digests = recipe, tuple(digests)
        self._skipped = tuple(Skip(name, Reason.OTHER_KIND) for name in others)

    def decode(self, body: bytes, count: int) -> list[Fingerprint | None]:
        """Return *count* results, None for contents that have to be read in the other way.

        Raises ProtocolError, and nothing else, for bytes that are no such answer.
        """
        end = count * _RECORD.size
        if len(body) < end:
            raise ProtocolError("not one record for each content")
        results: list[Fingerprint | None] = []
        for start in range(0, count * _RECORD.size, _RECORD.size):
            plain, size, length, key, sha1, md5 = _RECORD.unpack_from(body, start)
            if not plain:
                if body[start : start + _RECORD.size] != _NONE:
                    raise ProtocolError("a record that is not empty")
                results.append(None)
                continue
            if plain != 1 or size > MAX_SMALL_SIZE:
                raise ProtocolError("a number out of range")
            kind = _kind(body[end : end + length])
            end += length
            values = {"sha256": key.hex(), "sha1": sha1.hex(), "md5": md5.hex()}
            signals = tuple([Signal(name, values[name]) for name in self._digests])
            results.append(
                Fingerprint(values["sha256"], size, kind, self._recipe, signals, self._skipped)
            )
        if end != len(body):
            raise ProtocolError("not one kind for each record")
        return results


@lru_cache(maxsize=256)
def _kind(text: bytes) -> str:
    if _KIND.fullmatch(text) is None:
        raise ProtocolError("a text of another form")
    return text.decode("ascii")
