"""The system call filter, interpreted as the kernel does, for both architectures."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno

import pytest

from hashwacht.hashing.workers.syscall_filter import (
    ALWAYS_ALLOWED,
    ARCHITECTURES,
    Architecture,
    build_filter,
)
from hashwacht.platform.seccomp import ALLOW, KILL, REFUSE, Instruction

MACHINES = list(ARCHITECTURES)
PID = 4711
EPERM, ENOSYS = REFUSE | errno.EPERM, REFUSE | errno.ENOSYS
DENIED = {
    "x86_64": {
        "open": 2,
        "openat": 257,
        "openat2": 437,
        "socket": 41,
        "connect": 42,
        "execve": 59,
        "execveat": 322,
        "fork": 57,
        "vfork": 58,
        "ptrace": 101,
        "io_uring_setup": 425,
        "bpf": 321,
        "unlink": 87,
        "rename": 82,
        "prlimit64": 302,
        "ioctl": 16,
        "mount": 165,
        "process_vm_readv": 310,
        "pidfd_getfd": 438,
        "seccomp": 317,
        "userfaultfd": 323,
    },
    "aarch64": {
        "openat": 56,
        "openat2": 437,
        "socket": 198,
        "connect": 203,
        "execve": 221,
        "execveat": 281,
        "ptrace": 117,
        "io_uring_setup": 425,
        "bpf": 280,
        "unlinkat": 35,
        "renameat2": 276,
        "prlimit64": 261,
        "ioctl": 29,
        "mount": 40,
        "seccomp": 277,
        "process_vm_readv": 270,
        "pidfd_getfd": 438,
        "userfaultfd": 282,
    },
}


def run(code: list[Instruction], audit: int, number: int, *arguments: int) -> int:
    """Interpret a filter (Documentation/networking/filter.rst)."""
    memory = {0: number, 4: audit, **{16 + 8 * i: argument for i, argument in enumerate(arguments)}}
    at = accumulator = 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                accumulator = memory.get(operand, 0) & 0xFFFFFFFF
            case 0x54:
                accumulator &= operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x06:
                return operand
            case _:
                raise AssertionError(operation)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def there(machine: str) -> Architecture:
    return ARCHITECTURES[machine]


def ask(there: Architecture, number: int, *arguments: int, allow_memfd: bool = False) -> int:
    return run(build_filter(there, PID, allow_memfd=allow_memfd), there.audit, number, *arguments)


def test_what_reads_and_computes_is_allowed(there: Architecture) -> None:
    for name in ALWAYS_ALLOWED:
        if name in there.numbers:
            assert ask(there, there.numbers[name]) == ALLOW, name


def test_what_would_reach_anything_else_is_refused(machine: str, there: Architecture) -> None:
    for name, number in DENIED[machine].items():
        assert ask(there, number) == EPERM, name
    allowed = set(there.numbers.values())
    assert all(ask(there, n) == EPERM for n in range(600) if n not in allowed)


def test_another_architecture_or_convention_is_refused(there: Architecture) -> None:
    assert run(build_filter(there, PID, allow_memfd=True), 0x40000003, 11) == KILL  # i386: execve
    assert ask(there, 0x40000000 | 2) == ENOSYS  # x32: open


@pytest.mark.parametrize(
    ("call", "arguments", "verdict"),
    [
        ("mmap", (0, 4096, 3), ALLOW),
        ("mmap", (0, 4096, 5), EPERM),
        ("mprotect", (0, 4096, 1), ALLOW),
        ("mprotect", (0, 4096, 7), EPERM),
        ("clone", (0x3D0F00,), ALLOW),  # what pthread_create asks for
        ("clone", (17,), EPERM),  # fork: only SIGCHLD
        ("clone", (0x4111,), EPERM),  # vfork
        ("clone", (0x10010000,), EPERM),  # a thread in a user namespace
        ("clone3", (0,), ENOSYS),
        ("kill", (PID,), ALLOW),
        ("kill", (1,), EPERM),
        ("kill", (0xFFFFFFFF,), EPERM),  # all processes
        ("tgkill", (PID, 1, 9), ALLOW),
        ("tgkill", (1, 1, 9), EPERM),
        ("prctl", (15,), ALLOW),
        ("prctl", (4, 1), EPERM),  # PR_SET_DUMPABLE
        ("fcntl", (3, 1), ALLOW),
        ("fcntl", (3, 4), EPERM),  # F_SETFL
        ("fcntl", (3, 1033), EPERM),  # seals
        ("memfd_create", (0, 0), EPERM),
    ],
)
def test_arguments_decide(
    there: Architecture, call: str, arguments: tuple[int, ...], verdict: int
) -> None:
    assert ask(there, there.numbers[call], *arguments) == verdict


def test_only_digest_workers_may_create_a_memory_file(there: Architecture) -> None:
    assert ask(there, there.numbers["memfd_create"], 0, 3, allow_memfd=True) == ALLOW
    assert ask(there, there.numbers["fcntl"], 3, 1033, allow_memfd=True) == ALLOW


def test_the_numbers_are_those_that_libseccomp_knows(machine: str, there: Architecture) -> None:
    """Only this test uses libseccomp; the product does not need it."""
    path = ctypes.util.find_library("seccomp")
    if path is None:
        pytest.skip("libseccomp is not installed")
    library = ctypes.CDLL(path)
    audit = ctypes.c_uint32(there.audit)
    for name, number in {**there.numbers, **DENIED[machine]}.items():
        expected = library.seccomp_syscall_resolve_name_arch(audit, name.encode())
        assert expected == number, name
