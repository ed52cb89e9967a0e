"""A compromised worker can do nothing but return false hashes of its content."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hashwacht.core.types import Reason
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.pool import TASK_FACTORY, WorkerPool
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.platform import landlock
from hashwacht.platform.process import SandboxUnavailable
from support.fingerprints import fingerprint_bytes
from support.processes import workers

Start = Callable[..., WorkerPool]

WAYS = (
    *("read a file", "write a file", "list a directory", "remove a file", "write into the content"),
    *("make a memory file", "make a pipe", "make a socket", "make a socket pair", "connect"),
    *("run a program", "run a descriptor", "fork", "clone3", "trace the parent"),
    *("read another's memory", "kill the parent", "load a module", "use io_uring", "use bpf"),
    *("make memory executable", "lift a limit", "change the root", "mount", "make a namespace"),
    *("change its user",),
)


def test_a_decoder_that_was_taken_over_can_do_none_of_these(start: Start) -> None:
    """Each is attempted as shell code would and refused by the kernel; the worker survives."""
    pool = start(Plan(("md5", "pdq"), Limits(timeout=5)))
    refused = (os.strerror(1), os.strerror(38))  # EPERM; ENOSYS for clone3
    for way in WAYS:
        (skip,) = fingerprint_bytes(pool, b"break out " + way.encode()).skipped
        assert skip.reason is Reason.HASHER_FAILED, way
        assert skip.detail in refused, way
    assert not fingerprint_bytes(pool, b"harmless").skipped
    assert not Path("/tmp/broken-out").exists()


def test_a_worker_has_nothing_open_but_its_way_to_the_scanner(start: Start) -> None:
    fingerprint_bytes(start(), b"warm")
    for worker_kind in (WorkerKind.DIGESTS, WorkerKind.PICTURE):
        (worker,) = workers(worker_kind)
        opened = {str(path.readlink()) for path in Path(f"/proc/{worker.pid}/fd").iterdir()}
        sockets = {path for path in opened if path.startswith("socket:")}
        assert len(sockets) == 1
        assert opened - sockets == {os.devnull, f"/proc/{worker.pid}/statm"}


def test_every_layer_is_active_and_named(start: Start) -> None:
    """That holds on the kernels of the tests; elsewhere the pool names the missing layers."""
    assert start().layers == {"landlock": "", "seccomp": ""}


def test_the_kernel_confirms_filter_and_privileges(start: Start) -> None:
    fingerprint_bytes(start(), b"warm")
    for worker_kind in (WorkerKind.DIGESTS, WorkerKind.PICTURE):
        (worker,) = workers(worker_kind)
        status = Path(f"/proc/{worker.pid}/status").read_text()
        assert "Seccomp:\t2\n" in status
        assert "NoNewPrivs:\t1\n" in status


def test_with_the_sandbox_required_it_works_where_it_is_complete(start: Start) -> None:
    assert not fingerprint_bytes(start(require_sandbox=True), b"harmless").skipped


WITHOUT_LANDLOCK = """
import ctypes, sys
from hashwacht.core.errors import WorkerError
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.platform import seccomp
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
absent = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, seccomp.REFUSE | 38)]
seccomp.install_filter([*absent, (0x06, 0, 0, seccomp.ALLOW)])
with WorkerPool(Plan(("md5", "pdq")), 1) as pool:
    print(pool.layers)
with WorkerPool(Plan(("md5", "pdq")), 1, require_sandbox=True) as pool:
    try:
        pool.layers
    except WorkerError as error:
        print(error.message, "|", error.advice)
"""


def test_a_missing_required_layer_is_an_error_that_names_it() -> None:
    """A seccomp filter around the scanner simulates a kernel without Landlock."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_LANDLOCK], check=True, capture_output=True, text=True
    )
    layers, error = ran.stdout.splitlines()
    missing = "Function not implemented"
    assert layers == str({"landlock": missing, "seccomp": ""})
    assert f"the sandbox is incomplete: landlock: {missing}" in error
    assert "require_sandbox" in error


def test_landlock_alone_keeps_files_shut() -> None:
    """It is the second layer in case the filter has a hole, so the filter is off here."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            psutil.Process()  # imported before the sandbox
            _give_up_privileges()
            landlock.restrict()
            os.open("/etc/passwd", os.O_RDONLY)
        except PermissionError:
            code = 0
        except SandboxUnavailable:
            code = 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 2:
        pytest.skip("this kernel has no Landlock")
    assert code == 0


def _give_up_privileges() -> None:
    import ctypes

    assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0


def test_operators_programs_run_in_a_worker_of_their_own(start: Start) -> None:
    """That worker has no filter and decodes nothing; its programs are killed with it."""
    programs = (("mine", ("/bin/echo", "abc")),)
    pool = start(
        Plan(("md5", "pdq", "mine"), Limits(timeout=5), commands=programs),
        task_factory=TASK_FACTORY,
    )
    from demo.pictures import encode, photo

    fingerprint = fingerprint_bytes(pool, encode(photo(1, (96, 96))))
    assert {(s.type, s.value) for s in fingerprint.signals} > {("mine", "abc")}
    assert not fingerprint.skipped
    filtered = {
        worker_kind: "Seccomp:\t2\n" in Path(f"/proc/{process.pid}/status").read_text()
        for worker_kind in WorkerKind
        for process in workers(worker_kind)
    }
    assert filtered == {
        WorkerKind.DIGESTS: True,
        WorkerKind.PICTURE: True,
        WorkerKind.COMMANDS: False,
    }
