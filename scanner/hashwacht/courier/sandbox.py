"""The courier's sandbox: it cannot open customers' files, even if it is taken over.

It needs Python and its libraries, certificates and name resolution; it reads its configuration and
credentials again when a credential is added later.  Landlock forbids everything else for good.
Under systemd, a root file system without customers' files does the same.
"""

from __future__ import annotations

import ssl
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from hashwacht.platform import landlock
from hashwacht.platform.process import forbid_dumps, forbid_new_privileges, layer_status

SYSTEM_PATHS = (
    *("/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64"),
    *("/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/zoneinfo"),
    *("/usr/share/pki", "/usr/local/lib", "/run/systemd/resolve", "/run/NetworkManager"),
    *("/run/resolvconf", "/run/nscd", "/dev/null", "/dev/urandom", "/proc/sys"),
)
"""Libraries, certificates, name resolution.; directories, as files are replaced by rename."""


def enter_sandbox(own: Iterable[Path]) -> str:
    """Make all files inaccessible but the system's and *own*; return why not, "" if that succeeded.

    There must be no other thread yet.  Afterwards other processes of the same user cannot read
    the memory, which holds credentials.
    """
    forbid_new_privileges()
    forbid_dumps()
    paths = (*map(Path, SYSTEM_PATHS), *_python(), *_certificates(), *own)
    return layer_status(lambda: landlock.restrict_to(paths))


def _python() -> Iterable[Path]:
    """Return the directories that modules are imported from."""
    schemes = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = {*map(sysconfig.get_path, schemes), *sys.path}
    return [Path(path) for path in paths if path and Path(path).is_absolute()]


def _certificates() -> Iterable[Path]:
    """Return where OpenSSL looks for authorities: its default or its environment variables."""
    paths = ssl.get_default_verify_paths()
    return [Path(path) for path in (paths.cafile, paths.capath) if path]
