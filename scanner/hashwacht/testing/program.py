"""The installed program, run as people run it: in a process of its own, on a state of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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

    def run(
        self, *arguments: str | bytes | Path, given: bytes = b"", **more: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end with *given* on standard input and *more* in the environment."""
        return subprocess.run(  # noqa: S603  # our own program
            [PROGRAM, *arguments],
            input=given,
            env={**self.environment, **more},
            cwd=self.home,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    def start(self, *arguments: str | bytes | Path) -> subprocess.Popen[bytes]:
        """Start it; the caller waits for it or kills it."""
        return subprocess.Popen(  # noqa: S603  # our own program
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
