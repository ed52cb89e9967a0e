"""What the clamd server counts, for status, metrics and ``doctor``."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

MIB = 1 << 20

CUT_LENGTHS = (10 * MIB, 25 * MIB, 100 * MIB)
"""Limits on streams that clients have by default: old clamd's, Nextcloud's and clamd's.

A client that ends a content there sends the beginning of a file only, or the file in parts, and a
beginning matches no list.
"""

MAX_PEERS = 256
"""Peers whose cut streams are counted; the one seen longest ago is forgotten."""


def is_cut(size: int, last_chunk: int) -> bool:
    """Return whether a content of *size* bytes looks cut by a limit of its client.

    It ends exactly at one, or so that one more of its chunks would not fit below Nextcloud's.
    """
    return size in CUT_LENGTHS or size <= CUT_LENGTHS[1] < size + last_chunk


@dataclass(slots=True)
class ClamdCounters:
    """Counted since the start.  *cut_streams* is by peer: a user of this machine or an address."""

    connections: int = 0
    faults: int = 0
    timeouts: int = 0
    refused: int = 0
    upstream_failures: int = 0
    cut_streams: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def count_stream(self, peer: str, size: int, last_chunk: int) -> bool:
        """Count a complete content; return whether it is the first of *peer* that looks cut."""
        if not is_cut(size, last_chunk):
            return False
        count = self.cut_streams.pop(peer, 0)
        self.cut_streams[peer] = count + 1
        if len(self.cut_streams) > MAX_PEERS:
            self.cut_streams.popitem(last=False)
        return count == 0
