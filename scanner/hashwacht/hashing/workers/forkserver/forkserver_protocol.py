"""The messages between the scanner and the fork server, one in each packet.

The scanner sends the configuration, which LoadedReply answers when everything is loaded; then
SpawnRequest, answered by SpawnReply with the socket of the worker, and ReapRequest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from msgspec import Meta
from msgspec.structs import force_setattr

from hashwacht.hashing import Plan
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.ipc.codec import MAX_LINE_LENGTH, Message, MessageDecoder

MAX_CONTROL_MESSAGE = 64 << 10
"""Bytes of one control message."""

ProcessId = Annotated[int, Meta(gt=0)]


class ForkServerConfig(Message, frozen=True, tag="config"):
    """What a fork server loads and may do.

    *task_factory* (``module:callable``) turns a plan and a worker kind into a WorkerTask there;
    *max_workers* may exist at the same time; *background* asks for the lowest priorities.
    """

    plan: Plan
    task_factory: str
    max_workers: int
    background: bool
    worker_limits: WorkerLimits

    def __post_init__(self) -> None:
        limits = replace(self.plan.limits, timeout=float(self.plan.limits.timeout))  # 30 is 30.0
        force_setattr(self, "plan", replace(self.plan, limits=limits))


class LoadedReply(Message, frozen=True, tag="loaded"):
    """Everything is loaded; the recipe of fingerprints, and the types of the digests."""

    recipe: tuple[str, ...]
    digests: tuple[str, ...]


class SpawnRequest(Message, frozen=True, tag="spawn"):
    """Fork a worker."""

    kind: WorkerKind


class SpawnReply(Message, frozen=True, tag="spawned"):
    """The worker runs; its socket comes with this."""

    pid: ProcessId


class SpawnFailureReply(Message, frozen=True, tag="failed"):
    """No worker can be forked."""

    problem: str

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "problem")


class ReapRequest(Message, frozen=True, tag="reap"):
    """Kill a worker unless it has ended."""

    pid: ProcessId


class ReapReply(Message, frozen=True, tag="reaped"):
    """The wait status of the worker; None if it hangs in the kernel."""

    status: int | None


ControlRequest = SpawnRequest | ReapRequest
ControlReply = LoadedReply | SpawnReply | SpawnFailureReply | ReapReply

config_decoder = MessageDecoder[ForkServerConfig](ForkServerConfig)
request_decoder = MessageDecoder[ControlRequest](ControlRequest)
reply_decoder = MessageDecoder[ControlReply](ControlReply)
