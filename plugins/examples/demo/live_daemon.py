"""The second half of the demo: the daemon quarantines a known picture that is uploaded."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hashwacht.cli.output import line
from hashwacht.core.errors import UsageError

if TYPE_CHECKING:
    from hashwacht.daemon.status.status import Status

PATIENCE = 30.0
"""Seconds that the daemon may take to start or to act; two are usual."""

_PAUSE = 0.05
_END = 10.0


@dataclass(frozen=True, slots=True)
class DaemonDemo:
    """A watched directory in the *place* of the demo.

    *run* prints a command line and runs it; *options* are added to every command of the demo.
    """

    place: Path
    configuration: Path
    run: Callable[..., None]
    options: Sequence[str]

    def show(self, say: Callable[[str], None], known: Path) -> None:
        """Demonstrate watching, quarantine, status, the case, and the restored file."""
        say("A pair of keys: the daemon seals with one half and cannot open what it sealed.")
        key = self.place / "key.txt"
        self.run("quarantine", "keygen", str(key))
        uploads = self.place / "uploads"
        uploads.mkdir()
        say("The daemon watches a directory that customers upload to:")
        with TemporaryDirectory(prefix="hashwacht-") as sockets:
            self._configure(uploads, public_half(key), Path(sockets))
            with self._daemon():
                say("A customer uploads a known picture:")
                line(f"\n$ cp {shlex.quote(str(known))} {shlex.quote(str(uploads))}")
                shutil.copy(known, uploads)
                self._until(self._sealed, "quarantine the picture")
                self._list(uploads)
                self.run("status")
                say("The abuse desk decides, without ever looking at a picture:")
                self.run("cases", "list")
                self.run("cases", "show", "1")
                say("It was a mistake? The private half restores the file as it was:")
                self.run("cases", "restore", "1", "--identity", str(key))
                self._list(uploads)
                self.run("audit", "verify")

    def _configure(self, uploads: Path, public: str, sockets: Path) -> None:
        """Add the daemon's settings to the configuration, and print them."""
        added = (
            "[roots.web]\n"
            f'path = "{uploads}"\n'
            'on_exact_match = "quarantine"  # if the very bytes are known\n'
            'on_similar_match = "hold"         # if only a picture hash is near\n'
            "[quarantine]\n"
            f'recipients = ["{public}"]\n'
        )
        with self.configuration.open("a") as file:
            file.write(f'[daemon]\nruntime_directory = "{sockets}"\n{added}')
        line(f"\n$ cat {shlex.quote(str(self.configuration))}\n{added.rstrip()}")

    @contextmanager
    def _daemon(self) -> Iterator[None]:
        """Run the daemon in the background, with its output on standard output."""
        line("\n$ hashwacht daemon &")
        sys.stdout.flush()
        daemon = subprocess.Popen(  # noqa: S603  # this very program
            [sys.executable, "-m", "hashwacht", "daemon", *self.options],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            self._until(lambda: daemon.poll() is not None or self._protected(), "watch")
            yield
        finally:
            daemon.terminate()
            try:
                daemon.wait(_END)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _status(self) -> Status:
        """Return the daemon's status, as monitoring would read it."""
        from hashwacht.daemon.status.status import read_status
        from hashwacht.settings import OptionValue, load

        given = OptionValue("state.directory", str(self.place / "state"), "--state-dir")
        settings = load({}, uid=0, file=self.configuration, options=(given,)).settings
        return read_status(settings, time.time())

    def _protected(self) -> bool:
        from hashwacht.daemon.status.assess import Protection

        return self._status().protection is Protection.PROTECTED

    def _sealed(self) -> bool:
        """Return whether the file is in quarantine and the daemon has reported the match."""
        from hashwacht.storage.locations import LocationState

        now = self._status()
        sealed = (
            now.storage is not None and now.storage.case_files.get(LocationState.QUARANTINED, 0) > 0
        )
        return sealed and now.health is not None and now.health.counts.verdicts.get("match", 0) > 0

    @staticmethod
    def _list(directory: Path) -> None:
        """Print the directory as customers and visitors see it."""
        line(f"\n$ ls {shlex.quote(str(directory))}")
        for each in sorted(directory.iterdir()):
            if not each.name.startswith("."):
                line(each.name)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        """Wait for the daemon.  Raises UsageError if it takes too long."""
        until = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > until:
                advice = "The lines above say why."
                raise UsageError(f"the daemon of the demo did not {what}", advice=advice)
            time.sleep(_PAUSE)


def public_half(key: Path) -> str:
    """Return the public key from an identity file, where age writes it into a comment."""
    for each in key.read_text().splitlines():
        if each.startswith("# public key: "):
            return each.removeprefix("# public key: ")
    raise UsageError(
        f"{key} names no public key", advice="Make one with `hashwacht quarantine keygen`."
    )
