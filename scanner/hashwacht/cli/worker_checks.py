"""Checks of the workers: their sandbox, and a generated picture in each format."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hashwacht import bootstrap
from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Fingerprinter
from hashwacht.core.types import ArchiveMode, Diagnostic, Fingerprint, Skip
from hashwacht.hashing.archives.reader import library_version
from hashwacht.hashing.formats import EXTRAS
from hashwacht.settings import Settings

if TYPE_CHECKING:
    from hashwacht.hashing.workers.pool import WorkerPool

TEST_FORMATS = ("jpeg", "png", "gif", "webp", "avif", "tiff", "bmp")
"""The formats that every installation decodes; others are extras."""

_SANDBOX_ADVICE = (
    "Use a kernel that supports it (Landlock: 5.13 or newer, listed in /sys/kernel/security/lsm;"
    " containers must allow its system calls). Without it, only the other layers protect."
)


def check_workers(settings: Settings) -> Iterator[Diagnostic]:
    """Start a worker that decodes a generated picture in every format."""
    try:
        fingerprinter = bootstrap.fingerprinter(settings, ("sha256", "pdq"))
    except HashwachtError as error:
        yield Diagnostic("workers", ok=False, detail=error.message, advice=error.advice)
        return
    try:
        yield from _sandbox(fingerprinter)
        for name in TEST_FORMATS:
            yield _decoder(fingerprinter, name, _sample(name))
        for extra, module in EXTRAS.items():
            yield _extra(extra, installed=find_spec(module) is not None)
        yield _archives(settings.fingerprint.archives)
    finally:
        fingerprinter.close()


def _extra(extra: str, *, installed: bool) -> Diagnostic:
    """Report whether an optional decoder is installed; it is no problem if none is."""
    missing = (
        f"not installed: such pictures are undetermined until `pip install 'hashwacht[{extra}]'`"
        " and `hashwacht scan --full`"
    )
    return Diagnostic(f"decoder {extra}", ok=True, detail="installed" if installed else missing)


def _archives(mode: ArchiveMode) -> Diagnostic:
    """Report what is read of archives, and by which library."""
    if mode is ArchiveMode.OFF:
        detail = "not opened (fingerprint.archives is off): only their own bytes are compared"
        return Diagnostic("archives", ok=True, detail=detail)
    if version := library_version():
        members = "all members" if mode is ArchiveMode.ALL else "pictures, videos and archives"
        return Diagnostic("archives", ok=True, detail=f"libarchive {version}: {members} in them")
    return Diagnostic(
        "archives",
        ok=False,
        detail="libarchive is not installed: archives are undetermined",
        advice='Install libarchive (Debian: libarchive13), or set fingerprint.archives to "off".',
    )


def _sample(name: str) -> bytes:
    """Return a small generated picture."""
    from PIL import Image

    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, name)
    return file.getvalue()


def _sandbox(pool: WorkerPool) -> Iterator[Diagnostic]:
    """Report which sandbox layers confine the decoders."""
    try:
        layers = pool.layers
    except HashwachtError as error:
        yield Diagnostic("sandbox", ok=False, detail=error.message, advice=error.advice)
        return
    for name, problem in layers.items():
        yield Diagnostic(
            f"sandbox {name}",
            ok=not problem,
            detail=problem or "active for every decoder process",
            advice=_SANDBOX_ADVICE if problem else "",
        )


def _decoder(fingerprinter: Fingerprinter, name: str, content: bytes) -> Diagnostic:
    subject = f"decoder {name}"
    advice = "Reinstall Pillow (`pip install --force-reinstall pillow`)."
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            fingerprint = fingerprinter.fingerprint(file.fileno())
        except (OSError, HashwachtError) as error:
            return Diagnostic(subject, ok=False, detail=str(error), advice=advice)
    problem = _problem(fingerprint)
    if problem:
        detail = f"{problem.reason}: {problem.detail}"
        return Diagnostic(subject, ok=False, detail=detail, advice=advice)
    return Diagnostic(subject, ok=True, detail=f"{fingerprint.kind}, in a worker process")


def _problem(fingerprint: Fingerprint) -> Skip | None:
    return next((skip for skip in fingerprint.skipped if skip.reason.undetermined), None)
