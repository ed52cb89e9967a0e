"""What only the living scanner process knows of itself, and the file in which it says so.

``status.json`` in the runtime directory is written anew every few seconds.  Whoever reads it
needs neither the process nor the right to talk to it, and an old file is an answer too: since
then the process has not come round.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from hashwacht.core.paths import from_json, to_json
from hashwacht.daemon.scanner.counters import CounterValues, LatencyHistogram
from hashwacht.daemon.scanner.runtime import MatcherHealth

FILE_NAME = "status.json"
VERSION = 1

EVERY = 2.0
"""Seconds between two writings."""

STALE_AFTER = 15.0
"""Seconds after which a process that should write every two is called silent."""


class Stage(StrEnum):
    """Where in its life the scanner is."""

    STARTING = "starting"
    WATCHING = "watching"
    STOPPED = "stopped"
    """It ended in order; nothing was left half done."""


@dataclass(frozen=True, slots=True)
class RootHealth:
    """How a root is watched.

    *watch* is what the kernel is asked with; *problem* says why it is not watched now, empty if
    it is.  *event* and *canary* are when (Unix time) the last file and canary were announced.
    """

    name: str
    path: bytes
    watch: str
    problem: str = ""
    last_event: float | None = None
    last_canary: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How the scanner is.

    *started* and *at* are Unix time, *memory* the resident bytes of scanner and workers, *queue*
    the announced files that are not in the journal yet.  *sandbox* maps the layers around the
    processes that decode to why each is not active, "" if it is.  *applications* is how many
    connections web applications hold to the socket for uploads; None if it is not served.
    """

    pid: int
    version: str
    started: float
    stage: Stage = Stage.STARTING
    at: float = 0.0
    memory_bytes: int = 0
    queued_announcements: int = 0
    workers: int = 0
    roots: tuple[RootHealth, ...] = ()
    matchers: tuple[MatcherHealth, ...] = ()
    sandbox: Mapping[str, str] = field(default_factory=dict)
    counts: CounterValues = field(default_factory=CounterValues)
    upload_connections: int | None = None

    def is_stale(self, now: float) -> bool:
        """Tell if it should have written again by *now*; also if the clock has been set back."""
        return abs(now - self.at) > STALE_AFTER


class HealthFile:
    """The file; one process writes it."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        """Write into, or read from, the runtime directory."""
        self.path = directory / FILE_NAME
        self._clock = clock
        self._written = float("-inf")

    def due(self) -> bool:
        """Tell if it is time to write again: what goes into it need not be gathered before."""
        return abs(self._clock() - self._written) >= EVERY

    def write(self, health: Health) -> None:
        """Write it at once, dated now.  Readers find the old file or the new one.

        Raises OSError.  Nothing is flushed to the disk: it tells of a living process.
        """
        self._written = self._clock()
        text = dumps(replace(health, at=self._written))
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(self.path)

    def read(self) -> Health | None:
        """Give what was last written; None if there is none that this version understands.

        Raises OSError if it is there and cannot be read.
        """
        try:
            return loads(self.path.read_bytes())
        except FileNotFoundError:
            return None


def dumps(health: Health) -> str:
    """Write it as one JSON object."""
    fields = asdict(health)
    for root, shown in zip(health.roots, fields["roots"], strict=True):
        del shown["path"]
        shown.update(to_json(root.path))
    return json.dumps({"v": VERSION, "type": "health", **fields}, ensure_ascii=False)


def loads(text: bytes) -> Health | None:
    """Read what ``dumps`` wrote; None if it is anything else."""
    try:
        fields = json.loads(text)
        if (fields.pop("v"), fields.pop("type")) != (VERSION, "health"):
            return None
        counts = fields.pop("counts")
        return Health(
            stage=Stage(fields.pop("stage")),
            roots=tuple(_root(each) for each in fields.pop("roots")),
            matchers=tuple(MatcherHealth(**each) for each in fields.pop("matchers")),
            counts=CounterValues(verdict_latency=_delays(counts.pop("verdict_latency")), **counts),
            **fields,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _root(fields: dict[str, Any]) -> RootHealth:
    path = from_json(fields)
    rest = {key: value for key, value in fields.items() if key not in {"path", "path_b64"}}
    return RootHealth(path=path, **rest)


def _delays(fields: dict[str, Any]) -> LatencyHistogram:
    return LatencyHistogram(tuple(fields["buckets"]), fields["total"])
