"""What a process sets on itself, for good: prctl(2), capabilities(7), priority, sandbox layers."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

SandboxLayers = Mapping[str, str]
"""The layers of a sandbox that depend on the kernel: why each is not active, "" if it is."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4

CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 2, 21

_VERSION = 0x2008_0522
"""_LINUX_CAPABILITY_VERSION_3: two words for each set."""


class SandboxUnavailable(Exception):
    """This kernel or machine lacks a layer of the sandbox; the message is the reason."""


def layer_status(install: Callable[[], None]) -> str:
    """Install one layer of a sandbox; return why it is not active, "" if it is."""
    try:
        install()
    except SandboxUnavailable as error:
        return str(error)
    return ""


@cache
def libc() -> ctypes.CDLL:
    """Return the C library; its calls keep errno for :func:`check_call`.

    Loading takes longer than a system call, so it is done once.
    """
    return ctypes.CDLL(None, use_errno=True)


def check_call(result: int, subject: str | bytes | None = None) -> int:
    """Return the result of a call of :func:`libc`.  Raises OSError if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
    return result


def prctl(option: int, argument: int | bytes, pointer: object = 0) -> None:
    """Set one attribute of this process.  Raises OSError."""
    value = argument if isinstance(argument, bytes) else ctypes.c_ulong(argument)
    check_call(libc().prctl(option, value, pointer, 0, 0), f"prctl {option}")


def forbid_new_privileges() -> None:
    """Make set-user-ID programs run without their privileges, for this process and its children."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_dumps() -> None:
    """Forbid core dumps, and access to the memory by other processes of the same user."""
    prctl(_PR_SET_DUMPABLE, 0)


def set_name(name: str) -> None:
    """Set the name that ps(1) shows: at most 15 bytes."""
    prctl(_PR_SET_NAME, name.encode())


def become_subreaper() -> None:
    """Become the parent of every orphan among this process's descendants."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def terminate_with_parent(parent: int) -> None:
    """Make the kernel send SIGTERM when *parent*, which started this process, has ended."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the call
        os.kill(os.getpid(), signal.SIGTERM)


def kill_with_parent(parent: int) -> None:
    """Make the kernel kill this process when *parent*, which forked it, has ended."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def pid_namespace() -> int:
    """Return the number of the namespace in which process ids count here, 0 without /proc."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def is_running(pid: int) -> bool:
    """Return whether a process of this namespace exists and has not ended."""
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return True  # hidden by a mount option of /proc
    return state != b"Z"


def lower_priority(pid: int | None = None) -> None:
    """Lower a process, this one by default, to nice 19 and I/O class idle.

    What it starts later inherits both.  Only a privileged process can raise them again.  Raises
    psutil.Error if there is no such process.
    """
    import psutil

    process = psutil.Process(pid)
    process.nice(19)
    process.ionice(psutil.IOPRIO_CLASS_IDLE)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def limit_capabilities(capabilities: Iterable[int]) -> set[int]:
    """Drop all capabilities but these; return those of them that the process holds.

    The others also leave the bounding set where that is permitted (CAP_SETPCAP), so that no
    started program can have them.  Capabilities belong to the calling thread and to what it
    starts, so there must be no other thread yet.  Raises OSError.
    """
    wanted = sum(1 << number for number in capabilities)
    highest = int(Path("/proc/sys/kernel/cap_last_cap").read_bytes())
    with suppress(PermissionError):
        for number in range(highest + 1):
            if not wanted >> number & 1:
                prctl(_PR_CAPBSET_DROP, number)
    with suppress(OSError):  # kernels before 4.3 have no ambient set
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header, sets = _Header(_VERSION, 0), (_Sets * 2)()
    check_call(libc().capget(ctypes.byref(header), ctypes.byref(sets)))
    for word, half in enumerate(sets):
        half.permitted &= wanted >> 32 * word & 0xFFFF_FFFF
        half.effective, half.inheritable = half.permitted, 0
    check_call(libc().capset(ctypes.byref(header), ctypes.byref(sets)))
    forbid_new_privileges()
    held = sets[0].effective | sets[1].effective << 32
    return {number for number in range(highest + 1) if held >> number & 1}
