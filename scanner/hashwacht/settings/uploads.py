"""Where the uploads of web applications are checked.  Application and daemon read the same keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.settings.choice import Choice
from hashwacht.settings.fields import setting
from hashwacht.settings.kinds import Location, Size, Text

GROUP = Text("([A-Za-z_][A-Za-z0-9_.-]{0,31})?", "the name of a group")

_MIB, _TIB = 1 << 20, 1 << 40


class Where(StrEnum):
    """Where the work on an upload is done."""

    PROCESS = "process"
    DAEMON = "daemon"


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """Where the uploads of web applications are checked."""

    where: Where = setting(
        Choice(Where),
        Where.PROCESS,
        '"process": in the web application itself and in worker processes of its own, which needs'
        ' nothing else to run. "daemon": by `hashwacht daemon`, so that credentials, lists and'
        " decoders stay out of the application; the daemon listens only if this is set.",
    )
    socket: Path | None = setting(
        Location(),
        Path("/run/hashwacht-uploads/uploads.sock"),
        "Where the daemon takes uploads. Not in daemon.runtime, which is closed to other users."
        " The same for whoever reads it, so that application and daemon can share one file.",
    )
    group: str = setting(
        GROUP,
        "",
        "The group whose members may hand uploads over, such as www-data. Empty: nobody but the"
        " daemon's own user, because whoever may ask learns what is known.",
    )
    max_bytes: int = setting(
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
