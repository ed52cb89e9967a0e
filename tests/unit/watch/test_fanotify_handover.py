"""What the watcher does with stored descriptors of which it can make no stream."""

from __future__ import annotations

import errno
import os

import pytest

from hashwacht.watch.fanotify_handover import WaitingStreams


class FakeStore:
    """Records the names that are removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def store(self, name: str, descriptor: int) -> None:
        raise AssertionError(f"{name} ({descriptor}) is not to be stored")

    def remove_stored(self, name: str) -> None:
        self.removed.append(name)

    def wait_received(self) -> None:
        """Do nothing."""


def memory_file(content: bytes = b"") -> int:
    descriptor = os.memfd_create("test")
    os.write(descriptor, content)
    return descriptor


@pytest.mark.parametrize("state", [None, b"", b'{"type":"stream-0"}'])
def test_a_stream_without_a_valid_state_ends(state: bytes | None) -> None:
    stored = {"stream-group-1": memory_file()}
    if state is not None:
        stored["stream-state-1"] = memory_file(state)
    streams, store = WaitingStreams(), FakeStore()
    streams.take_over(stored, store)
    assert streams.take("1") is None
    assert store.removed == [*stored], "else every restart would receive them"
    for descriptor in stored.values():
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(descriptor)
