"""How the daemon works: watching, holding, quarantine, and when it stops itself from acting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.fields import Choice, setting
from hashwacht.settings.kinds import AbsolutePath, Duration, Integer, String, StringList

DAY = 86_400.0


class WatchKind(StrEnum):
    """What the kernel is asked with."""

    INOTIFY = "inotify"
    FANOTIFY = "fanotify"


class HoldKind(StrEnum):
    """How a file is kept from being served."""

    MODE = "mode"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How `hashwacht daemon` watches the roots."""

    watch_method: WatchKind = setting(
        Choice(WatchKind),
        WatchKind.INOTIFY,
        'How to learn of files: "inotify" needs no privilege and one kernel watch for'
        ' each directory, "fanotify" needs two capabilities in a process of its own and knows no'
        " such limit.",
    )
    runtime_directory: Path | None = setting(
        AbsolutePath(),
        None,
        "Where sockets and the state of the running processes lie. Default: /run/hashwacht for"
        " root, under systemd its RuntimeDirectory, for other users $XDG_RUNTIME_DIR/hashwacht.",
    )
    max_queued_events: int = setting(
        Integer(256, 10_000_000),
        65_536,
        "Announced files held in memory until they are in the journal, 300 bytes each. What does"
        " not fit is a gap, which a walk closes.",
    )
    max_backlog: int = setting(
        Integer(100, 10_000_000),
        10_000,
        "Files that a walk may have put into the journal and nobody has read yet; it waits"
        " beyond that.",
    )
    settle_time: float = setting(
        Duration(0.01, 60),
        0.2,
        "How long a file must have been at rest if nobody said that it was closed.",
    )
    max_settle_time: float = setting(
        Duration(1, 3600),
        60.0,
        "The longest pause between two looks at a file that is written to all the time; the"
        " first pauses are shorter.",
    )
    rescan_interval: float = setting(
        Duration(60, 365 * DAY),
        DAY,
        "How often every root is compared with the state although nothing is known to be missed.",
    )
    canary_interval: float = setting(
        Duration(1, 3600),
        15.0,
        "How often a file is written into every root to see if it is announced; twice this time"
        " without an announcement is a gap.",
    )
    metrics_file: Path | None = setting(
        AbsolutePath(),
        None,
        "File for node_exporter's textfile collector, such as"
        " /var/lib/prometheus/node-exporter/hashwacht.prom. Empty: none; the socket always is.",
    )

    @property
    def runtime_path(self) -> Path:
        """The runtime directory; never None once the settings are read."""
        assert self.runtime_directory is not None
        return self.runtime_directory


@dataclass(frozen=True, slots=True)
class HoldSettings:
    """How a file is held."""

    method: HoldKind = setting(
        Choice(HoldKind),
        HoldKind.MODE,
        'How: "mode" takes all permissions away, so that no web server of another user can read'
        ' it, and gives them back; "command" calls a program of yours.',
    )
    command: tuple[str, ...] = setting(
        StringList(String("[^\\x00]+", "a program's absolute path or an argument")),
        (),
        'The program and its arguments. It gets "hold" or "release" as its last argument, the case'
        " as JSON on standard input and the open file as descriptor 3; exit code 0 means done.",
    )


@dataclass(frozen=True, slots=True)
class QuarantineSettings:
    """Where files are sealed away."""

    directory: Path | None = setting(
        AbsolutePath(),
        None,
        'Where they lie, with mode 0700. Empty: "quarantine" in the state directory.',
    )
    recipients: tuple[str, ...] = setting(
        StringList(String("age1[a-z0-9]{58}", "an age public key (age1...)")),
        (),
        "age public keys that files are sealed for; `hashwacht quarantine keygen` makes a pair."
        " The private half opens them again and belongs on another machine.",
    )
    retention: float = setting(
        Duration(DAY, 3650 * DAY),
        180 * DAY,
        "How long a sealed file is kept at least; `hashwacht cases list --expired` names what may"
        " be destroyed after that. Nothing is ever destroyed by itself.",
    )

    @property
    def vault(self) -> Path:
        """The directory; never None once the settings are read."""
        assert self.directory is not None
        return self.directory


@dataclass(frozen=True, slots=True)
class ActionLimitSettings:
    """When holding and quarantine stop by themselves, because a list must have gone wrong."""

    window: float = setting(
        Duration(60, 30 * DAY), 3600.0, "The time over which files acted upon are counted."
    )
    per_hash: int = setting(
        Integer(1, 1_000_000),
        25,
        "Files with the same content. The logo of a content management system on a list would"
        " otherwise empty every site.",
    )
    per_account: int = setting(
        Integer(1, 1_000_000), 50, "Files of the same owner in the same root."
    )
    per_root: int = setting(Integer(1, 1_000_000), 100, "Files in the same root.")
