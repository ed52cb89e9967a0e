"""The installed daemon on directories of a test, started, stopped and killed as in production."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hashwacht.daemon.status.health import FILE_NAME, Health, HealthFile, Stage
from hashwacht.storage.store import Store
from support.program import PROGRAM, Program

PATIENCE = 30.0
"""Seconds until something that should happen counts as not happening."""


class DaemonProgram(Program):
    """Runs ``hashwacht daemon`` and its processes on a state of its own."""

    def __init__(self, home: Path) -> None:
        """Prepare *home*; *watch* are the directories to watch."""
        super().__init__(home)
        self.runtime, self.log = home / "run", home / "daemon.log"
        with self.configuration.open("a") as file:
            file.write(
                f'[daemon]\nruntime_directory = "{self.runtime}"\nsettle_time ='
                f' "50ms"\ncanary_interval = "1s"\n'
            )

    def watch(self, name: str, path: Path, *lines: str) -> None:
        """Configure one more root."""
        with self.configuration.open("a") as file:
            file.write(f'[roots.{name}]\npath = "{path}"\n')
            file.writelines(f"{line}\n" for line in lines)

    def know(self, *contents: bytes) -> None:
        """Import a hash list that contains these contents."""
        from support.daemon.daemon_harness import digest

        lines = "".join(f"sha256 {digest(content)}\n" for content in contents)
        result = self.run("lists", "import", "known", "-", given=lines.encode())
        assert result.returncode == 0, result.stderr.decode()

    @contextmanager
    def scanner(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the scanner until the context ends; it watches when the context begins."""
        with self.running(PROGRAM, "daemon", "scanner") as process:
            yield process

    @contextmanager
    def running(
        self, *command: str | Path, handed: Sequence[int] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Like ``scanner``, with another *command* that inherits the descriptors *handed*."""
        (self.runtime / FILE_NAME).unlink(missing_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environment, cwd=self.home, stderr=log, pass_fds=handed
            )
        try:
            self.wait_for(lambda: self.is_watching(process), "watching")
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        assert process.returncode in {0, -signal.SIGKILL}, self.log.read_text()

    def is_watching(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether the scanner's health file reports that it watches."""
        if process.poll() is not None:
            raise AssertionError(self.log.read_text())
        health = self.health()
        return health is not None and health.stage is Stage.WATCHING

    def health(self) -> Health | None:
        """Return the scanner's latest health report."""
        return HealthFile(self.runtime).read()

    def state(self) -> Store:
        """Open the daemon's storage while it runs; the caller closes it."""
        return Store.open(Path(self.environment["HASHWACHT_STATE_DIR"]))

    @staticmethod
    def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Wait for a condition; fail the test if it does not hold in time."""
        until = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < until, f"not {what} within {patience:g} s"
            time.sleep(0.02)
