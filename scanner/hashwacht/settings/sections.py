"""All sections of the configuration: each key with its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.core.types import ArchiveMode
from hashwacht.core.views import ViewKind
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.settings.alerts import AlertSettings
from hashwacht.settings.daemon import (
    ActionLimitSettings,
    DaemonSettings,
    HoldSettings,
    QuarantineSettings,
)
from hashwacht.settings.gateway import GatewaySettings
from hashwacht.settings.kinds import (
    AbsolutePath,
    Boolean,
    Choice,
    CommandLine,
    Duration,
    Integer,
    Rate,
    Size,
    String,
    StringList,
    Table,
    section,
    setting,
)
from hashwacht.settings.lists import ListSourceSettings
from hashwacht.settings.matchers import SIGNAL_TYPE, VIEW, HashlistSettings, MatcherSettings
from hashwacht.settings.reports import ReportSettings
from hashwacht.settings.roots import EXCLUDE, PanelSettings, RootSettings
from hashwacht.settings.units import RateLimit

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


class UploadMode(StrEnum):
    """Which process checks an upload."""

    PROCESS = "process"
    DAEMON = "daemon"


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """Where uploads of web applications are checked. Application and daemon use the same keys."""

    mode: UploadMode = setting(
        Choice(UploadMode),
        UploadMode.PROCESS,
        '"process": in the web application and its own worker processes; nothing else has to run.'
        ' "daemon": in `hashwacht daemon`, so that credentials, lists and decoders stay out of the'
        " application. The daemon listens for uploads in this mode, and if gateway.enabled is set.",
    )
    socket: Path | None = setting(
        AbsolutePath(),
        Path("/run/hashwacht-uploads/uploads.sock"),
        "Socket for uploads. It is outside daemon.runtime_directory, which other users cannot"
        " enter, and does not depend on the user, so that application and daemon can share a file.",
    )
    group: str = setting(
        String("([A-Za-z_][A-Za-z0-9_.-]{0,31})?", "the name of a group"),
        "",
        "Group whose members may send uploads, such as www-data. Empty: only the user of the"
        " daemon. A user who can send uploads can find out what is known.",
    )
    max_file_size: int = setting(
        Size(1 * MIB, 1 * TIB),
        1 * GIB,
        "Largest file that the daemon accepts over the socket; a larger one is undetermined. The"
        " middleware has the same default.",
    )

    max_records: int = setting(
        Integer(100, 10_000_000),
        20_000,
        "Uploads whose circumstances are recorded at most, one in twenty of one client. Beyond that"
        " the oldest of the same client are removed, but none that has a case.",
    )
    keep_records: float = setting(
        Duration(3600, 10 * 365 * 86400),
        90 * 86400.0,
        "How long an undetermined upload is recorded, in case a list finds it later. Those of a"
        " case stay with the case.",
    )

    @property
    def path(self) -> Path:
        """The socket; never None once the settings are loaded."""
        assert self.socket is not None
        return self.socket


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where everything is stored that must survive a crash."""

    directory: Path | None = setting(
        AbsolutePath(),
        Path("/var/lib/hashwacht"),
        "Directory of the state database and the hash lists. Default: /var/lib/hashwacht for root,"
        " StateDirectory under systemd, $XDG_STATE_HOME/hashwacht for other users.",
    )

    @property
    def path(self) -> Path:
        """The directory; never None once the settings are loaded."""
        assert self.directory is not None
        return self.directory


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How existing files are scanned."""

    jobs: int = setting(
        Integer(0, 1024),
        0,
        "Number of worker processes, which read and decode files. 0: one per processor core,"
        " because decoding takes most of the time.",
    )
    max_rate: RateLimit | None = setting(
        Rate(),
        None,
        'Upper limit: "200 files/s" or "20 MiB/s". Empty: none; low_priority is usually enough.',
    )
    file_systems: FileSystemScope = setting(
        Choice(FileSystemScope),
        FileSystemScope.LOCAL,
        'File systems below the given paths that are part of them: "local" ones, "all" (network'
        ' storage too) or "one" (only that of the path). Subvolumes always are, /proc never.',
    )
    exclude: tuple[str, ...] = setting(
        EXCLUDE,
        (),
        'Files to skip, in the syntax of one .gitignore file in /: "*.log" and "cache/" anywhere,'
        ' "/srv/*/cache/" from the root, "**/a/b/" anywhere; "!" includes again. Empty: every file'
        " is scanned.",
    )
    reread_interval: float = setting(
        Duration(0, 3650 * 86400),
        30 * 86400.0,
        "Time within which every file that looks unchanged is read again, a share of them by each"
        " scan and by each comparison of the daemon: equal times prove little. 0: never.",
    )
    low_priority: bool = setting(
        Boolean(),
        True,
        "Run at the lowest CPU and I/O priority, so that a scan does not slow down a busy server.",
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Limits per file. Over a limit, digests are still looked up and the rest is undetermined."""

    max_decoded_memory: int = setting(
        Size(16 * MIB, 16 * GIB),
        448 * MIB,
        "Memory of a decoded picture: 4 bytes a pixel, hence 117 million pixels. A JPEG is decoded"
        " smaller instead (200 million pixels in 200 MB), unless it is progressive: then 6 bytes a"
        " pixel at most.",
    )
    max_decoded_pixels: int = setting(
        Integer(1_000_000, 1_000_000_000_000),
        1_200_000_000,
        "Pixels that decoding one file may touch, in each scan of a progressive JPEG and twice in"
        " each frame of an animation. A core decodes 30 to 150 million a second.",
    )
    max_frames: int = setting(
        Integer(1, 10_000),
        256,
        "Frames of an animation that are hashed; equal frames count once. 480x360 takes 1 s.",
    )
    max_picture_size: int = setting(
        Size(1 * MIB, 4 * GIB), 64 * MIB, "Size of the largest file that is decoded as a picture."
    )
    timeout: float = setting(
        Duration(1, 3600),
        30.0,
        "Time for one file. Decompression bombs were measured to take over 70 s, genuine pictures"
        " below one.",
    )
    max_memory: int = setting(
        Size(128 * MIB, 64 * GIB), 1 * GIB, "Additional memory of a worker process for one file."
    )
    max_read_time: float = setting(
        Duration(10, 7 * 86400),
        3600.0,
        "Time for reading one large file, at idle priority beside all others; then it is"
        " undetermined. Anyone can make a sparse file of any size.",
    )


@dataclass(frozen=True, slots=True)
class FingerprintSettings:
    """Which signals are computed."""

    always_compute: tuple[str, ...] = setting(
        StringList(SIGNAL_TYPE),
        ("pdq", "phash64", "dhash64"),
        "Signal types to compute even if no matcher uses them yet: a list that is imported later"
        " then needs no disk access. With lists of digests alone, [] means that nothing is"
        " decoded.",
    )
    views: tuple[str, ...] = setting(
        StringList(VIEW),
        tuple(ViewKind),
        "Views of a picture whose PDQ hash is computed too: as a browser shows it (shown), rotated"
        " and mirrored (turned), without a uniform border (trim), without bars above or below"
        " (bars), the picture in a screenshot (screen). A matcher decides which it is asked for.",
    )
    quick: bool = setting(
        Boolean(),
        True,
        "Decode JPEGs at a reduced size, several times faster. A file close to an entry of a local"
        " list is hashed again exactly, so that verdicts do not change.",
    )
    quick_for_services: bool = setting(
        Boolean(),
        False,
        "Do so even if picture hashes are looked up at a service. Off by default: such a hash can"
        " differ by some bits (PDQ: at most 10), and a service cannot request the exact one.",
    )
    commands: tuple[tuple[str, tuple[str, ...]], ...] = setting(
        Table(SIGNAL_TYPE, CommandLine()),
        (),
        "Hash programs of your own: signal type, absolute path, arguments. They read the picture"
        " from standard input and write the hash to standard output.",
    )
    archives: ArchiveMode = setting(
        Choice(ArchiveMode),
        ArchiveMode.PICTURES,
        'Members of archives (zip, 7z, rar, tar, docx, ...) that are hashed: "pictures", videos and'
        ' archives; "all" of them, for lists with digests of other files; "off": archives are not'
        " opened, and only their own bytes are compared.",
    )
    require_sandbox: bool = setting(
        Boolean(),
        False,
        "Refuse to start if the kernel does not support every layer of the sandbox for decoders"
        " (seccomp, Landlock). Off: limits and separate processes always apply, and"
        " `hashwacht doctor` lists the active layers.",
    )
    limits: LimitSettings = section(LimitSettings)


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """Where credentials are stored. A configuration contains their names only."""

    directory: Path | None = setting(
        AbsolutePath(),
        None,
        'Directory with one file (mode 0600) for each name of credentials. Empty: "credentials"'
        " next to the default location of this file.",
    )
    keyring: str = setting(
        String(
            "[A-Za-z0-9_.]*", "a keyring backend such as keyring.backends.SecretService.Keyring"
        ),
        "",
        "Keyring backend, as listed by `keyring --list-backends`. Empty: no keyring; none is chosen"
        " automatically, because the default depends on what is installed.",
    )


DEFAULT_MATCHERS: tuple[MatcherSettings, ...] = (HashlistSettings("hashlist"),)
"""The matchers if none is configured."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration."""

    state: StateSettings = section(StateSettings)
    scan: ScanSettings = section(ScanSettings)
    fingerprint: FingerprintSettings = section(FingerprintSettings)
    daemon: DaemonSettings = section(DaemonSettings)
    hold: HoldSettings = section(HoldSettings)
    quarantine: QuarantineSettings = section(QuarantineSettings)
    action_limits: ActionLimitSettings = section(ActionLimitSettings)
    alerts: AlertSettings = section(AlertSettings)
    uploads: UploadSettings = section(UploadSettings)
    gateway: GatewaySettings = section(GatewaySettings)
    panel: PanelSettings = section(PanelSettings)
    reports: ReportSettings = section(ReportSettings)
    roots: tuple[RootSettings, ...] = ()
    matchers: tuple[MatcherSettings, ...] = DEFAULT_MATCHERS
    lists: tuple[ListSourceSettings, ...] = ()
    credentials: CredentialSettings = section(CredentialSettings)

    @property
    def accepts_uploads(self) -> bool:
        """Whether the daemon listens for uploads: of web applications, or of the gateway."""
        return self.uploads.mode is UploadMode.DAEMON or self.gateway.enabled
