"""The scanner's health, and ``status.json`` in the runtime directory, to which it is written.

The scanner writes the file every few seconds.  Readers need neither the process nor permission to
talk to it, and a stale file is informative too: its date is that of the last heartbeat.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from hashwacht.core.gateway_report import GatewayReport
from hashwacht.core.paths import from_json, to_json
from hashwacht.core.text import json_line
from hashwacht.daemon.scanner.counters import CounterValues, LatencyHistogram
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.platform import atomic
from hashwacht.platform.process import is_running, pid_namespace

FILE_NAME = "status.json"
VERSION = 1

WRITE_INTERVAL = 2.0
"""Seconds between two writes."""

STALE_AFTER = 15.0
"""Seconds without a write after which the scanner counts as dead."""


class Stage(StrEnum):
    """The stage of the scanner's life."""

    STARTING = "starting"
    WATCHING = "watching"
    STOPPED = "stopped"
    """It exited in order; nothing was left half done."""


@dataclass(frozen=True, slots=True)
class RootHealth:
    """How a root is watched.

    *watch* is the watch method; *problem* the reason why the root is not watched now, empty if
    it is.  *last_event* and *last_canary* are when (Unix time) the last file and canary were
    announced.
    """

    name: str
    path: bytes
    watch: str
    problem: str = ""
    last_event: float | None = None
    last_canary: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The health of the scanner process.

    *started* and *at* are Unix time, *memory_bytes* the resident memory of scanner and workers
    (shared pages counted once), *queued_announcements* the announced files that are not in the
    journal yet.  *sandbox* maps
    the layers around the workers to the reason why each is inactive, "" if it is active.
    *upload_connections* counts the open connections of web applications to the upload socket;
    None if there is no such socket; *gateway* is its last report, None if it has sent none.  *pid*
    counts in the namespace with the number *pid_namespace*.
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
    pid_namespace: int = 0
    gateway: GatewayReport | None = None

    @property
    def is_gone(self) -> bool:
        """Return whether the process has ended; False if its id means nothing in this namespace."""
        return self.pid_namespace == pid_namespace() != 0 and not is_running(self.pid)

    def is_stale(self, now: float) -> bool:
        """Return whether a write is overdue at *now*; also if the clock was set back."""
        return abs(now - self.at) > STALE_AFTER


class HealthFile:
    """``status.json``, written by one process."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        """Use the file in *directory*, the runtime directory."""
        self.path = directory / FILE_NAME
        self._clock = clock
        self._written = float("-inf")

    def is_due(self) -> bool:
        """Return whether the next write is due."""
        return abs(self._clock() - self._written) >= WRITE_INTERVAL

    def write(self, health: Health) -> None:
        """Replace the file atomically, dated now.  Raises OSError.

        Nothing is synced to disk: after a crash of the machine the file means nothing.
        """
        self._written = self._clock()
        content = encode_health(replace(health, at=self._written)).encode()
        atomic.write(self.path, content, durable=False)

    def read(self) -> Health | None:
        """Return what was last written; None if there is none that this version understands.

        Raises OSError if the file exists but cannot be read.
        """
        try:
            return decode_health(self.path.read_bytes())
        except FileNotFoundError:
            return None


def encode_health(health: Health) -> str:
    """Return *health* as one JSON object."""
    fields = asdict(health)
    for root, root_fields in zip(health.roots, fields["roots"], strict=True):
        del root_fields["path"]
        root_fields.update(to_json(root.path))
    return json_line({"v": VERSION, "type": "health", **fields})


def decode_health(text: bytes) -> Health | None:
    """Return what ``encode_health`` encoded; None for anything else."""
    try:
        fields = json.loads(text)
        if (fields.pop("v"), fields.pop("type")) != (VERSION, "health"):
            return None
        counts = fields.pop("counts")
        latency = counts.pop("verdict_latency")
        gateway = fields.pop("gateway", None)
        histogram = LatencyHistogram(tuple(latency["buckets"]), latency["total"])
        return Health(
            stage=Stage(fields.pop("stage")),
            roots=tuple(_decode_root(root) for root in fields.pop("roots")),
            matchers=tuple(MatcherHealth(**matcher) for matcher in fields.pop("matchers")),
            counts=CounterValues(verdict_latency=histogram, **counts),
            gateway=None if gateway is None else GatewayReport.from_json(gateway),
            **fields,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _decode_root(fields: dict[str, Any]) -> RootHealth:
    others = {key: value for key, value in fields.items() if key not in {"path", "path_b64"}}
    return RootHealth(path=from_json(fields), **others)
