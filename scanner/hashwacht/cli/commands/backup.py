"""``hashwacht backup``: copy the storage and the audit log while the daemon is running."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import click

from hashwacht.cli.case_session import existing_store
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import print_result, print_text
from hashwacht.core.errors import UsageError
from hashwacht.core.text import format_size

_NAME = re.compile(r"\d{8}T\d{6}Z")


@command(
    Example("hashwacht backup /var/backups/hashwacht", "Copy storage and audit log."),
    Example("hashwacht backup --keep 7 /var/backups/hashwacht", "Keep the latest seven backups."),
    json=True,
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--keep", type=click.IntRange(1), metavar="N", help="Remove all but the latest N backups."
)
def backup_command(directory: Path, keep: int | None) -> None:
    """Copy storage and audit log as of one moment, while the daemon is running.

    Creates a directory in DIRECTORY that is named after the time.  To restore, stop the daemon and
    copy its files into the state directory.  Hash lists, the vault and the configuration are plain
    files: back them up as such.
    """
    from hashwacht import bootstrap
    from hashwacht.audit.log import FILE_NAME as AUDIT_FILE_NAME
    from hashwacht.platform import atomic
    from hashwacht.storage.store import FILE_NAME

    log = bootstrap.audit_log(global_options().configuration().settings)
    target = directory / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    partial = directory / f".{target.name}.partial"
    sizes: list[int] = []
    with existing_store() as store:
        if store is None:
            raise UsageError("there is no storage yet", advice="Run a scan or the daemon first.")
        partial.mkdir(mode=0o700, parents=True)
        try:
            store.backup(partial / FILE_NAME, lambda: sizes.append(log.size()))
            log.copy(partial / AUDIT_FILE_NAME, sizes[0])
            atomic.sync_directory(partial)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    atomic.sync_directory(directory)
    size = sum(file.stat().st_size for file in target.iterdir())
    print_result(
        "backup", {"directory": str(target), "bytes": size}, f"{target}: {format_size(size)}"
    )
    for old in _older(directory, keep):
        shutil.rmtree(old)
        print_text(f"removed {old}")


def _older(directory: Path, keep: int | None) -> list[Path]:
    """Return the backups beyond the latest *keep*."""
    backups = sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))
    return backups[:-keep] if keep else []
