"""Freed memory is kept for the next picture, so the kernel need not clear pages again."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from demo.pictures import encode, photo

COUNT = """
import resource, sys
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing import Plan

here = InProcessFingerprinter(Plan(("md5", "pdq"), quick=sys.argv[2] == "quick"))

def pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        with open(sys.argv[1], "rb") as file:
            here.fingerprint(file.fileno())
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages(20)
print(pages(50) / 50)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc learns from a block")
@pytest.mark.parametrize("way", ["quick", "exact"])
def test_no_picture_of_640x480_faults_new_pages(tmp_path: Path, way: str) -> None:
    """Otherwise some hundred pages are cleared for each."""
    path = tmp_path / "picture.jpg"
    path.write_bytes(encode(photo(1)))
    result = subprocess.run(
        [sys.executable, "-c", COUNT, path, way], capture_output=True, text=True, check=True
    )
    assert float(result.stdout) < 10
