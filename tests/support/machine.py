"""A Debian machine under its own systemd, booted in a container within seconds.

systemd-nspawn(1) runs the tree that ``tests/e2e/boot/tree`` made; writes go to memory, so that the
tree does not change and two machines can use it.  Commands run inside with nsenter(1), as root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

CACHE = Path("/var/cache/hashwacht/boot")

BOOT_SECONDS = 60.0
_ALSO_ALLOWED = (
    "fanotify_init fanotify_mark open_by_handle_at name_to_handle_at seccomp"
    " landlock_create_ruleset landlock_add_rule landlock_restrict_self"
)
"""System calls that a real machine has and nspawn's own filter blocks."""

_POWER_OFF = signal.SIGRTMIN + 4
"""Makes a systemd that is process 1 shut down (systemd(1))."""


@contextmanager
def booted_machine(checkout: Path, directory: Path) -> Iterator[Machine]:
    """Boot a fresh machine, whose console is written to *directory*; skip the test without one."""
    root = tree(checkout)
    if isinstance(root, str):
        pytest.skip(root)
    with closing(Machine(root, checkout, directory / "console")) as machine:
        yield machine


def tree(checkout: Path) -> Path | str:
    """Return the tree to boot, or the reason why there is none.

    It is made if HASHWACHT_BOOT is set, which takes minutes; else it must be in the cache.
    """
    if os.geteuid() != 0:
        return "booting a machine takes root"
    for program in ("systemd-nspawn", "nsenter", "debootstrap"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    make = [checkout / "tests/e2e/boot/tree", CACHE]
    path = Path(_output([*make, "--name"]))
    if not path.exists():
        if not os.environ.get("HASHWACHT_BOOT"):
            return f"{path} is not there; HASHWACHT_BOOT=1 makes it, which takes three minutes"
        _output(make)
    return path


class Machine:
    """A running machine; ``close`` switches it off."""

    def __init__(self, root: Path, checkout: Path, log: Path) -> None:
        """Boot *root* with *checkout* read-only at /opt/checkout; write its console to *log*."""
        with log.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [
                    "systemd-nspawn",
                    "--quiet",
                    f"--directory={root}",
                    f"--machine=hashwacht-{os.getpid()}",
                    "--read-only",
                    "--volatile=overlay",
                    "--register=no",
                    "--keep-unit",
                    "--link-journal=no",
                    f"--system-call-filter={_ALSO_ALLOWED}",
                    "--console=pipe",
                    f"--bind-ro={checkout}:/opt/checkout",
                    "--tmpfs=/srv",
                    "--boot",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self._log = log
        try:
            self.first = self._leader()
            started = "systemctl is-system-running"
            self.wait_for(lambda: self.run(started, ok=False) == "running", what="booting")
        except BaseException:
            self.close()
            raise

    def _leader(self) -> int:
        """Return the machine's process 1, which is started by another child of nspawn."""
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        pids: list[int] = []

        def there() -> bool:
            assert self._nspawn.poll() is None, self._log.read_text(errors="replace")
            pids[:] = [child for child in map(int, children.read_text().split()) if _first(child)]
            return bool(pids)

        self.wait_for(there, what="the machine's process 1")
        return pids[0]

    def run(self, command: str, *, ok: bool = True, timeout: float = 60.0) -> str:
        """Run a shell command in the machine; return its output without the last line end.

        Raises AssertionError with the output if the command fails and *ok* is set.
        """
        result = subprocess.run(
            ["nsenter", "--target", str(self.first), "--all", "sh", "-c", command],
            capture_output=True,
            check=False,
            timeout=timeout,
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        text = result.stdout.decode(errors="replace").rstrip("\n")
        assert not ok or result.returncode == 0, (
            f"{command}: {result.returncode}\n{text}\n{result.stderr.decode(errors='replace')}"
        )
        return text

    def json(self, command: str) -> Any:
        """Run a command that prints one JSON object, whatever its exit code; return the object."""
        return json.loads(self.run(command, ok=False))

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit, as ``systemctl show`` prints it."""
        return self.run(f"systemctl show --value --property={name} {unit}")

    def write(self, path: str, content: bytes) -> None:
        """Write a file in the machine."""
        target = Path(f"/proc/{self.first}/root{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def wait_for(
        self, condition: Callable[[], bool], seconds: float = BOOT_SECONDS, what: str = "it"
    ) -> None:
        """Wait for a condition; raise AssertionError if it does not hold in time."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"{what} took more than {seconds} s"
            time.sleep(0.1)

    def close(self) -> None:
        """Switch the machine off."""
        try:
            if self._nspawn.poll() is None:
                os.kill(getattr(self, "first", self._nspawn.pid), _POWER_OFF)
            self._nspawn.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self._nspawn.kill()
            self._nspawn.wait()


def _first(process: int) -> bool:
    """Return whether a process has number 1 in its own name space."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
    (numbers,) = (line.split() for line in status.splitlines() if line.startswith("NSpid:"))
    return len(numbers) > 2 and numbers[-1] == "1"


def _output(command: Sequence[str | Path]) -> str:
    """Return the last line that a program prints."""
    environ = {**os.environ, "PYTHON": sys.executable}  # its pip downloads the packages
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environ)
    return result.stdout.decode().rstrip("\n").rpartition("\n")[2]
