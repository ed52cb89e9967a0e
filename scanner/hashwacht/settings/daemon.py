"""The tables ``[daemon]``, ``[hold]``, ``[quarantine]`` and ``[action_limits]``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.kinds import (
    AbsolutePath,
    Choice,
    CommandLine,
    Duration,
    Integer,
    String,
    StringList,
    setting,
)
from hashwacht.settings.units import DAY


class WatchKind(StrEnum):
    """The kernel interface that reports changed files."""

    INOTIFY = "inotify"
    FANOTIFY = "fanotify"


class HoldKind(StrEnum):
    """How access to a file is blocked."""

    MODE = "mode"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How `hashwacht daemon` watches the roots."""

    watch_method: WatchKind = setting(
        Choice(WatchKind),
        WatchKind.INOTIFY,
        'Kernel interface: "inotify" needs no privileges but one watch per directory; "fanotify"'
        " needs two capabilities, in a process of its own, and has no such limit.",
    )
    runtime_directory: Path | None = setting(
        AbsolutePath(),
        None,
        "Directory of the sockets and of the state of running processes. Empty: /run/hashwacht for"
        " root, RuntimeDirectory under systemd, $XDG_RUNTIME_DIR/hashwacht for other users.",
    )
    max_queued_events: int = setting(
        Integer(256, 10_000_000),
        65_536,
        "Events held in memory until they are in the journal, 512 bytes each. If the queue"
        " overflows, the loss is recorded as a gap, which a rescan covers.",
    )
    max_backlog: int = setting(
        Integer(100, 10_000_000),
        10_000,
        "Unread files that a rescan may add to the journal before it waits.",
    )
    settle_time: float = setting(
        Duration(0.01, 60),
        0.2,
        "How long a file must be unchanged before it is read if no event reported that it was"
        " closed.",
    )
    max_settle_time: float = setting(
        Duration(1, 3600),
        60.0,
        "Longest pause before a file that is written continuously is read again; the first pauses"
        " are shorter.",
    )
    rescan_interval: float = setting(
        Duration(60, 365 * DAY),
        3600.0,
        "How often every root is compared with the state even if no gap is open; at least 20 times"
        " as long as a comparison takes passes between two. It bounds how long a change that no"
        " event reports goes unnoticed.",
    )
    canary_interval: float = setting(
        Duration(1, 3600),
        15.0,
        "How often a canary file is written into every root to test that its event arrives. A gap"
        " is opened if none arrives within twice this time.",
    )
    metrics_file: Path | None = setting(
        AbsolutePath(),
        None,
        "Metrics file for the textfile collector of node_exporter, such as"
        " /var/lib/prometheus/node-exporter/hashwacht.prom. Empty: metrics are available on the"
        " socket only.",
    )

    @property
    def runtime_path(self) -> Path:
        """The runtime directory; never None once the settings are loaded."""
        assert self.runtime_directory is not None
        return self.runtime_directory


@dataclass(frozen=True, slots=True)
class HoldSettings:
    """How access to a held file is blocked."""

    method: HoldKind = setting(
        Choice(HoldKind),
        HoldKind.MODE,
        'Method: "mode" removes all permissions and the owner, so that neither a web server nor the'
        ' owner can read the file, and restores them on release; "command" runs your own program.',
    )
    command: tuple[str, ...] = setting(
        CommandLine(optional=True),
        (),
        'Program and arguments for the method "command". "hold" or "release" is added as the last'
        " argument, the case is JSON on standard input, the open file is descriptor 3. Exit code 0"
        " means done.",
    )


@dataclass(frozen=True, slots=True)
class QuarantineSettings:
    """Where and for whom files are encrypted."""

    directory: Path | None = setting(
        AbsolutePath(),
        None,
        'Directory of the encrypted files, mode 0700. Empty: "quarantine" in the state directory.',
    )
    recipients: tuple[str, ...] = setting(
        StringList(String("age1[a-z0-9]{58}", "an age public key (age1...)")),
        (),
        "age public keys to encrypt for; `hashwacht quarantine keygen` creates a key pair. Keep the"
        " private key, which decrypts the files, on another machine.",
    )
    retention: float = setting(
        Duration(DAY, 3650 * DAY),
        180 * DAY,
        "Minimum time to keep a quarantined file; `hashwacht cases list --expired` lists those that"
        " may be destroyed after it. Nothing is destroyed automatically.",
    )

    @property
    def vault(self) -> Path:
        """The directory; never None once the settings are loaded."""
        assert self.directory is not None
        return self.directory


@dataclass(frozen=True, slots=True)
class ActionLimitSettings:
    """When holding and quarantine pause, because matches of many accounts suggest a bad list."""

    window: float = setting(
        Duration(60, 30 * DAY), 3600.0, "Period in which files and accounts are counted."
    )
    per_hash: int = setting(
        Integer(1, 1_000_000),
        25,
        "Accounts (owners of files) with the same content. Without this limit, a list with the logo"
        " of a content management system would empty every site.",
    )
    per_account: int = setting(
        Integer(1, 1_000_000),
        50,
        "Quarantined files of the same owner in the same root; further ones are held in place.",
    )
    per_root: int = setting(
        Integer(1, 1_000_000), 50, "Accounts in the same root, whatever the contents."
    )
    per_new_list: int = setting(
        Integer(1, 1_000_000),
        10,
        "Accounts with contents that only a new version of a local hash list knows, in its first"
        " hours (new_list_period): a version that is wrong is noticed before it acts widely.",
    )
    new_list_period: float = setting(
        Duration(0, 30 * DAY),
        6 * 3600.0,
        "How long a version of a list is new after its import. An approval holds for that version."
        " 0: never.",
    )
