"""Checks of ``hashwacht doctor``: the programs that hand uploads to hooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from hashwacht.core.types import Diagnostic

PURE_FTPD = Path("/etc/pure-ftpd/conf/CallUploadScript")
"""Where Debian enables the announcements of pure-ftpd."""

READER = "pure-uploadscript"


def check_upload_programs(
    names: Iterable[str] | None = None, setting: Path = PURE_FTPD
) -> Iterator[Diagnostic]:
    """Check that exactly one program reads what pure-ftpd announces, where it announces uploads.

    Two take each other's announcements: each file is announced to one of them, or to neither.
    Without any, uploads hang.
    """
    count = list(process_names() if names is None else names).count(READER)
    if count > 1:
        yield Diagnostic(
            "pure-ftpd",
            ok=False,
            detail=f"{count} processes of {READER} take each other's announcements",
            advice="End all but one; it can run a second program with the option --then of"
            " hashwacht-hook. See docs/clients/pure-ftpd.md.",
        )
    elif count == 0 and _is_enabled(setting):
        yield Diagnostic(
            "pure-ftpd",
            ok=False,
            detail=f"it announces uploads, but no {READER} is running, so that uploads hang",
            advice=f"Set UPLOADSCRIPT in /etc/default/pure-ftpd-common, or remove {setting}.",
        )


def process_names() -> Iterator[str]:
    """Yield the names of the running processes."""
    for process in psutil.process_iter(["name"]):
        yield process.info["name"] or ""


def _is_enabled(setting: Path) -> bool:
    try:
        return setting.read_text().strip().lower() in {"yes", "1", "on"}
    except OSError:
        return False
