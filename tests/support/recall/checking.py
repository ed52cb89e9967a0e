"""The outcome of picture files at Hashwacht's defaults, with a hash list of known pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from hashwacht.checker import Checker, CheckResult
from support.browser.renderer import PdqHash, pdq
from support.program import Program

TYPES = ("pdq", "phash64", "dhash64", "md5")
"""A list without digests would leave contents without a usable picture hash undetermined."""


def list_lines(images: Iterable[Image.Image], types: Sequence[str]) -> str:
    """Return a hash list as a provider of lists writes it, by the reference implementations."""
    lines = ["value,type,id"]
    for number, image in enumerate(images):
        values = {
            "pdq": pdq(np.asarray(image)).value,
            "phash64": str(imagehash.phash(image)),
            "dhash64": str(imagehash.dhash(image)),
            "md5": hashlib.md5(image.tobytes(), usedforsecurity=False).hexdigest(),
        }
        lines += [f"{values[name]},{name},{number}" for name in types]
    return "\n".join(lines) + "\n"


class Checking:
    """Checks contents against a list of known pictures."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker

    def submit(self, content: bytes) -> Future[CheckResult]:
        """Start the check of a content."""
        fd = os.memfd_create("content")
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.write(content)
            return self._checker.submit(fd)
        finally:
            os.close(fd)

    def check(self, content: bytes) -> CheckResult:
        """Return the result for a content."""
        return self.submit(content).result()


@contextmanager
def checking(
    home: Path, images: Iterable[Image.Image], types: Sequence[str] = TYPES
) -> Iterator[Checking]:
    """Install a hash list of *images* in a home of its own, and open a checker there."""
    home.mkdir(parents=True, exist_ok=True)
    program = Program(home)
    with program.configuration.open("a") as file:
        file.write(f'[state]\ndirectory = "{home}/state"\n')
    path = home / "known.csv"
    path.write_text(list_lines(images, types))
    result = program.run("lists", "import", "known", path)
    assert result.returncode == 0, result.stderr.decode()
    with Checker.configured(program.configuration) as checker:
        yield Checking(checker)


def listed_hashes(images: Iterable[Image.Image]) -> list[PdqHash]:
    """Return the PDQ hash of each image."""
    return [pdq(np.asarray(image)) for image in images]
