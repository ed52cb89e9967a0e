"""The sections of the configuration, each key with its default and the reason for it.

Where the uploads of web applications are checked.  Application and daemon read the same keys.

The tables ``[roots.NAME]``: what the daemon watches, and what it does about a match there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.alerts import AlertSettings
from hashwacht.settings.daemon import (
    ActionLimitSettings,
    DaemonSettings,
    HoldSettings,
    QuarantineSettings,
)
from hashwacht.settings.fields import Choice, ChoiceTable, section, setting
from hashwacht.settings.kinds import (
    AbsolutePath,
    Boolean,
    CommandTable,
    Duration,
    Integer,
    Rate,
    Size,
    String,
    StringList,
)
from hashwacht.settings.matchers import CATEGORY, SIGNAL_TYPE, HashlistSettings, MatcherSettings
from hashwacht.settings.units import RateLimit

GROUP = String("([A-Za-z_][A-Za-z0-9_.-]{0,31})?", "the name of a group")

_MIB, _TIB = 1 << 20, 1 << 40


class UploadMode(StrEnum):
    """Where the work on an upload is done."""

    PROCESS = "process"
    DAEMON = "daemon"


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """Where the uploads of web applications are checked."""

    mode: UploadMode = setting(
        Choice(UploadMode),
        UploadMode.PROCESS,
        '"process": in the web application itself and in worker processes of its own, which needs'
        ' nothing else to run. "daemon": by `hashwacht daemon`, so that credentials, lists and'
        " decoders stay out of the application; the daemon listens only if this is set.",
    )
    socket: Path | None = setting(
        AbsolutePath(),
        Path("/run/hashwacht-uploads/uploads.sock"),
        "The socket for uploads. Outside daemon.runtime_directory, which other users cannot enter."
        " The same for whoever reads it, so that application and daemon can share one file.",
    )
    group: str = setting(
        GROUP,
        "",
        "The group whose members may hand uploads over, such as www-data. Empty: nobody but the"
        " daemon's own user, because whoever may ask learns what is known.",
    )
    max_file_size: int = setting(
        Size(1 * _MIB, 1 * _TIB),
        1 << 30,
        "The largest file that the daemon takes over the socket; more is undetermined. As much"
        " as the middleware passes on by default.",
    )

    @property
    def path(self) -> Path:
        """The socket; ``find_contradictions`` sees to it that there is one."""
        assert self.socket is not None
        return self.socket


class MatchAction(StrEnum):
    """What to do about a match."""

    OBSERVE = "observe"
    HOLD = "hold"
    QUARANTINE = "quarantine"


class UndeterminedAction(StrEnum):
    """What to do about a content while nobody can say anything about it."""

    ALLOW = "allow"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class RootSettings:
    """A directory that the daemon watches, with everything below it."""

    name: str
    path: Path | None = setting(AbsolutePath(), None, "The directory. There is no default.")
    on_exact_match: MatchAction = setting(
        Choice(MatchAction),
        MatchAction.OBSERVE,
        'What to do if the very bytes are known (a digest matches): "observe" opens a case and'
        ' alerts, "hold" also keeps the file from being served, "quarantine" also seals it away.'
        " Observe: a new installation should be watched for some days before it acts.",
    )
    on_similar_match: MatchAction = setting(
        Choice(MatchAction),
        MatchAction.OBSERVE,
        "What to do if only a picture hash matches. Such a match can be wrong, if rarely.",
    )
    on_category: tuple[tuple[str, MatchAction], ...] = setting(
        ChoiceTable(CATEGORY, Choice(MatchAction)),
        (),
        "What to do about matches of certain categories, whatever the two keys above say.",
    )
    on_undetermined: UndeterminedAction = setting(
        Choice(UndeterminedAction),
        UndeterminedAction.ALLOW,
        'What to do while a content is undetermined: "allow" leaves the file as it is and asks'
        ' again, "hold" keeps it from being served until it is answered. Allow: an outage of a'
        " service must not take customers' sites down.",
    )
    exclude: tuple[str, ...] = setting(
        StringList(String("[^\\x00]+", "a pattern as in .gitignore")),
        (),
        "What to leave out here, besides scan.exclude and in the same syntax.",
    )

    @property
    def directory(self) -> Path:
        """The path; never None once the settings are read."""
        assert self.path is not None
        return self.path


MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where everything lies that must survive a crash."""

    directory: Path | None = setting(
        AbsolutePath(),
        Path("/var/lib/hashwacht"),
        "The state database and the hash lists. Default: /var/lib/hashwacht for root, under"
        " systemd its StateDirectory, for other users $XDG_STATE_HOME/hashwacht.",
    )

    @property
    def path(self) -> Path:
        """The directory; never None once the settings are read."""
        assert self.directory is not None
        return self.directory


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How existing storage is scanned."""

    jobs: int = setting(
        Integer(0, 1024),
        0,
        "Worker processes that read and decode. 0: one per processor core, since decoding is"
        " what takes the time.",
    )
    max_rate: RateLimit | None = setting(
        Rate(),
        None,
        'Never go faster: "200 files/s" or "20 MiB/s". Empty: no limit, because the lowest'
        " priority already gives way to everybody.",
    )
    one_file_system: bool = setting(
        Boolean(),
        True,
        "Stay on the file systems of the given paths: a scan of / must not wander off to network"
        " storage and /proc.",
    )
    exclude: tuple[str, ...] = setting(
        StringList(String("[^\\x00]+", "a pattern as in .gitignore")),
        (),
        'What to leave out, in gitignore\'s syntax, as if it stood in one .gitignore in /: "*.log"'
        ' and "cache/" anywhere, "/srv/*/cache/" from the root, "**/a/b/" anywhere, "!" takes'
        " back. Empty: every file counts until somebody decides otherwise.",
    )
    low_priority: bool = setting(
        Boolean(),
        True,
        "Run at the lowest CPU and I/O priority, so that a scan of a busy server is not noticed.",
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What one content may cost; over a limit its digests are still asked, the rest is not."""

    max_pixels: int = setting(
        Integer(1_000_000, 1_000_000_000),
        50_000_000,
        "Pixels of a picture. 50 million is more than phones take, and decodes in 200 MB. All scans"
        " of a progressive picture may have 20 times as many, all frames of an animation 10 times.",
    )
    max_frames: int = setting(
        Integer(1, 10_000),
        256,
        "Frames of an animation that are hashed, equal ones once; 480x360 takes 1 s.",
    )
    max_picture_size: int = setting(
        Size(1 * MIB, 4 * GIB), 64 * MIB, "Size of a file that is still decoded as a picture."
    )
    timeout: float = setting(
        Duration(1, 3600),
        30.0,
        "Time for one content. Measured bombs take over 70 s of it, honest pictures below one.",
    )
    max_memory: int = setting(
        Size(128 * MIB, 64 * GIB),
        1 * GIB,
        "Memory that a worker may add to decode one content.",
    )


@dataclass(frozen=True, slots=True)
class FingerprintSettings:
    """What is computed of every content."""

    always_compute: tuple[str, ...] = setting(
        StringList(SIGNAL_TYPE),
        ("pdq", "phash64", "dhash64"),
        "Signal types to compute even if no matcher asks for them now: decoding costs more than"
        " hashing, and a list that comes later then needs no disk read.",
    )
    orientations: bool = setting(
        Boolean(),
        False,
        "Also ask the seven other rotations and mirrorings of every PDQ hash. Off: it means eight"
        " questions instead of one.",
    )
    quick: bool = setting(
        Boolean(),
        True,
        "Decode JPEGs no larger than hashing needs: several times faster. What comes near an entry"
        " of a local list is hashed again exactly, so that its verdicts stay the same.",
    )
    quick_for_services: bool = setting(
        Boolean(),
        False,
        "Be quick even if a service is asked with picture hashes. Off: such a hash may be some"
        " bits off (PDQ: 10 at most), and a service cannot ask for the exact one.",
    )
    commands: tuple[tuple[str, tuple[str, ...]], ...] = setting(
        CommandTable(SIGNAL_TYPE),
        (),
        "Hashers of your own that are programs: signal type, absolute path, arguments. The"
        " picture comes on standard input, the hash goes to standard output.",
    )
    require_sandbox: bool = setting(
        Boolean(),
        False,
        "Refuse to start if the kernel lacks a layer around the processes that decode (seccomp,"
        " Landlock). Off: limits and separate processes hold everywhere, and `hashwacht doctor`"
        " says which layers are active.",
    )
    limits: LimitSettings = section(LimitSettings)


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """Where secrets are looked for; the secrets themselves never stand in a configuration."""

    directory: Path | None = setting(
        AbsolutePath(),
        None,
        "Directory with one file (mode 0600) for each name that a matcher's credentials say."
        ' Empty: "credentials" beside the usual place of this file.',
    )
    keyring: str = setting(
        String(
            "[A-Za-z0-9_.]*", "a keyring backend such as keyring.backends.SecretService.Keyring"
        ),
        "",
        "Keyring backend to ask, as `keyring --list-backends` names it. Empty: no keyring; none is"
        " ever picked silently, because the default changes with what is installed.",
    )


DEFAULT_MATCHERS: tuple[MatcherSettings, ...] = (HashlistSettings("hashlist"),)
"""Who answers if nobody is configured."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured."""

    state: StateSettings = section(StateSettings)
    scan: ScanSettings = section(ScanSettings)
    fingerprint: FingerprintSettings = section(FingerprintSettings)
    daemon: DaemonSettings = section(DaemonSettings)
    hold: HoldSettings = section(HoldSettings)
    quarantine: QuarantineSettings = section(QuarantineSettings)
    action_limits: ActionLimitSettings = section(ActionLimitSettings)
    alerts: AlertSettings = section(AlertSettings)
    uploads: UploadSettings = section(UploadSettings)
    roots: tuple[RootSettings, ...] = ()
    matchers: tuple[MatcherSettings, ...] = DEFAULT_MATCHERS
    credentials: CredentialSettings = section(CredentialSettings)
