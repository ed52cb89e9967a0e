"""The installed program, run as an administrator runs it: a process with a state of its own."""

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
"""The command installed with this interpreter."""

SECONDS = 120.0
"""The time limit of a command."""


class Program:
    """Runs ``hashwacht`` with a home, state, lists and credentials below one directory.

    The environment is built from scratch, so the set-up of the machine has no effect.
    """

    def __init__(self, home: Path) -> None:
        """Prepare *home*; later runs read what is written to ``configuration``."""
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

    def in_environment(self) -> AbstractContextManager[object]:
        """Use the program's environment in this process until the context ends."""
        return patch.dict(os.environ, self.environment)

    def run(
        self, *arguments: str | bytes | Path, given: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the program to its end; *given* is its input, *more* is added to its environment."""
        return subprocess.run(
            [PROGRAM, *arguments],
            input=given,
            env={**self.environment, **more},
            cwd=self.home,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    def add_matcher(self, kind: str, url: str, *lines: str) -> None:
        """Configure one more matcher, named as its kind, with a short timeout and no retries."""
        with self.configuration.open("a") as file:
            file.write(f'[matchers.{kind}]\nkind = "{kind}"\n')
            if url:
                file.write(f'base_url = "{url}"\nretries = 0\ntimeout = 2\n')
            file.writelines(f"{line}\n" for line in lines)

    def set_credentials(self, account: str, *names: str) -> None:
        """Set ``user:password`` in the environment for each of the names."""
        for name in names:
            self.environment[f"HASHWACHT_CREDENTIAL_{name.upper()}"] = account

    def scan(self, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        """Scan at full speed; return the exit code and the JSON lines, the summary last."""
        return self._run_json("scan", "--normal-priority", *arguments)

    def recheck(self) -> tuple[int, list[dict[str, Any]]]:
        """Recheck; return the exit code and the JSON lines, the summary last."""
        return self._run_json("recheck")

    def _run_json(self, command: str, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        result = self.run(command, "--json", *arguments)
        assert result.returncode != 2, result.stderr.decode()
        return result.returncode, objects(result.stdout)

    def start(self, *arguments: str | bytes | Path) -> subprocess.Popen[bytes]:
        """Start the program; the caller waits for it or kills it."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def objects(output: bytes) -> list[dict[str, Any]]:
    """Parse JSON lines."""
    return [json.loads(line) for line in output.splitlines()]


def verdicts(lines: Iterable[Mapping[str, Any]]) -> dict[bytes, str]:
    """Return the verdicts in JSON lines: base names to ``match`` and the like."""
    return {
        from_json(path).rpartition(b"/")[2]: line["type"]
        for line in lines
        for path in line.get("paths", ())
    }
