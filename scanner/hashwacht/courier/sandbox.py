"""What the courier locks away from itself before it says a word: every file of every customer.

It needs Python and its libraries, certificates, and what names a host in an address; its own
configuration and credentials are read again when a credential comes later.  Everything else
is shut by Landlock, for good, however it may be taken over.  Where the kernel has no Landlock it
says so; under systemd a file system without any customer's files does the same.
"""

from __future__ import annotations

import ctypes
import ssl
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from hashwacht.platform import landlock
from hashwacht.platform.process import SandboxUnavailable

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38

SYSTEM_PATHS = (
    *("/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64"),
    *("/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/zoneinfo"),
    *("/usr/share/pki", "/usr/local/lib", "/run/systemd/resolve", "/run/NetworkManager"),
    *("/run/resolvconf", "/run/nscd", "/dev/null", "/dev/urandom", "/proc/sys"),
)
"""Libraries, certificates, name resolution.  Directories, as their files are replaced by rename."""


def enter_sandbox(own: Iterable[Path]) -> str:
    """Give up all files but the system's and *own*; say why not, "" if it worked.

    Call it before there is another thread.  Memory, where credentials lie, cannot be read by
    other processes of the same user after it.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0)
    try:
        landlock.restrict_to((*map(Path, SYSTEM_PATHS), *_python(), *_certificates(), *own))
    except SandboxUnavailable as error:
        return str(error)
    return ""


def _python() -> Iterable[Path]:
    """Where modules may be imported from."""
    places = ("stdlib", "platstdlib", "purelib", "platlib")
    found = {*map(sysconfig.get_path, places), *sys.path}
    return [Path(each) for each in found if each and Path(each).is_absolute()]


def _certificates() -> Iterable[Path]:
    """Where OpenSSL looks for authorities, as it was built or told by its variables."""
    found = ssl.get_default_verify_paths()
    return [Path(each) for each in (found.cafile, found.capath) if each]
