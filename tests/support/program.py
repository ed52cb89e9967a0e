"""The installed program, run as people run it: in a process of its own, on a state of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hashwacht.core.paths import from_json

PROGRAM = Path(sys.executable).with_name("hashwacht")
"""The command that was installed with the interpreter that runs this."""

SECONDS = 120.0
"""How long a command may take before it counts as hanging."""


class Program:
    """Runs ``hashwacht`` with a home, state, lists and credentials below one directory.

    Nothing of the set-up of the machine counts: the environment is made anew.
    """

    def __init__(self, home: Path) -> None:
        """Prepare *home*; what is written to ``configuration`` counts for later runs."""
        self.home = home
        self.configuration = home / "hashwacht.toml"
        self.configuration.write_text(f'[credentials]\ndirectory = "{home}/credentials"\n')
        self.environment = {
            "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "HASHWACHT_CONFIG": str(self.configuration),
            "HASHWACHT_STATE_DIR": str(home / "state"),
        }

    def here(self) -> AbstractContextManager[object]:
        """Have this very process live in its environment until that is left."""
        return patch.dict(os.environ, self.environment)

    def run(
        self, *arguments: str | bytes | Path, given: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end with *given* on standard input and *more* in the environment."""
        return subprocess.run(
            [PROGRAM, *arguments],
            input=given,
            env={**self.environment, **more},
            cwd=self.home,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    def ask(self, kind: str, url: str, *lines: str) -> None:
        """Configure one more matcher, named as its kind: an impatient one that asks once."""
        with self.configuration.open("a") as file:
            file.write(f'[matchers.{kind}]\nkind = "{kind}"\n')
            if url:
                file.write(f'base_url = "{url}"\nretries = 0\ntimeout = 2\n')
            file.writelines(f"{line}\n" for line in lines)

    def log_in(self, account: str, *names: str) -> None:
        """Give ``user:password`` in the environment, under each of the names."""
        for name in names:
            self.environment[f"HASHWACHT_CREDENTIAL_{name.upper()}"] = account

    def scan(self, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        """Scan at full speed; give the exit code and what was told, the summary last."""
        return self._told("scan", "--normal-priority", *arguments)

    def recheck(self) -> tuple[int, list[dict[str, Any]]]:
        """Recheck; give the exit code and what was told, the summary last."""
        return self._told("recheck")

    def _told(self, command: str, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        done = self.run(command, "--json", *arguments)
        assert done.returncode != 2, done.stderr.decode()
        return done.returncode, objects(done.stdout)

    def start(self, *arguments: str | bytes | Path) -> subprocess.Popen[bytes]:
        """Start it; the caller waits for it or kills it."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def objects(output: bytes) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in output.splitlines()]


def verdicts(told: Iterable[Mapping[str, Any]]) -> dict[bytes, str]:
    """Give what was told of files: names (without directories) to ``match`` and the like."""
    return {
        from_json(path).rpartition(b"/")[2]: one["type"]
        for one in told
        for path in one.get("paths", ())
    }
