"""``hashwacht audit``: the log of all acts, and the check that it is unchanged."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import find_contradictions, record_audit
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options, number_option, reason_option, time_option
from hashwacht.cli.output import print_cut, print_result, print_text
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import escape_text, json_line, plural

if TYPE_CHECKING:
    from hashwacht.audit.chain import JSON, AuditEntry
    from hashwacht.audit.log import AuditLog, Checkpoint

_MAX_ACCEPTED = 100
"""Accepted contradictions of one entry, so that it stays below the limit of a line."""


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht audit verify", "Check that the log is unchanged."),
        Example(
            "hashwacht audit checkpoint > /mnt/elsewhere/audit",
            "Store a checkpoint on another machine.",
        ),
    ),
)
def audit_command() -> None:
    """Show and verify the audit log; print checkpoints to store elsewhere.

    Every entry contains the hash of the previous one.  Entries removed from the end, or a log
    that was rewritten completely, are only detected with a checkpoint that is stored out of reach
    of this machine: every alert carries one, and so do the metrics.
    """


def _log() -> AuditLog:
    from hashwacht import bootstrap

    return bootstrap.audit_log(global_options().configuration().settings)


@command(
    Example("hashwacht audit show", "Show the latest 50 acts."),
    Example(
        "hashwacht audit show --act destroyed -n 1000", "Show who destroyed which files, and why."
    ),
    json=True,
    name="show",
)
@number_option(50, "entries")
@click.option(
    "--act", default="", metavar="ACT", help="Only entries with this act, such as released."
)
@time_option("--since", help="Only entries since a date (2026-11-30) or within an age (7d).")
def show(*, number: int, act: str, since: float | None) -> None:
    """Show the latest entries, newest last."""
    _check_act(act)

    def wanted(entry: AuditEntry) -> bool:
        if act and entry.act != act:
            return False
        return since is None or datetime.fromisoformat(entry.at).timestamp() >= since

    latest = _log().latest(number + 1, wanted)
    entries = latest[-number:]
    for entry in entries:
        facts = json_line(entry.facts)
        text = f"{entry.seq:>6}  {entry.at}  {entry.who}  {entry.act}  {facts}"
        print_result("entry", _fields(entry), text)
    if not entries:
        print_text("No matching entries.")
    if len(latest) > number:
        print_cut(number, "entries")


def _check_act(act: str) -> None:
    """Refuse an unknown act, which would look as if it had never happened."""
    from hashwacht.audit.log import AuditEvent

    acts = [*AuditEvent]
    if act and act not in acts:
        raise UsageError(f"unknown act {act!r}", advice=f"Use one of {', '.join(acts)}.")


def _fields(entry: AuditEntry) -> dict[str, object]:
    return {
        "seq": entry.seq,
        "at": entry.at,
        "who": entry.who,
        "act": entry.act,
        "facts": entry.facts,
        "prev": entry.prev,
        "hash": entry.hash,
    }


@command(
    Example("hashwacht audit verify", "Check the whole chain."),
    Example(
        "hashwacht audit verify --checkpoint /mnt/elsewhere/audit",
        "Also compare it with a checkpoint.",
    ),
    json=True,
    name="verify",
)
@click.option(
    "--checkpoint",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare with the last checkpoint in this file: the output of `hashwacht audit"
    " checkpoint`, or an alert.",
)
def verify(checkpoint: Path | None) -> ExitCode:
    """Check that the log is unchanged, and that cases, files and vault are as it records.

    The exit code is 2 if not.  Contradictions show an older copy of the storage, the log or the
    vault, and entries that were removed or changed.  A crash while a case was recorded can leave
    one too; `hashwacht audit accept` accepts what was explained.
    """
    log = _log()
    broken = log.verify(None if checkpoint is None else _read_checkpoint(checkpoint))
    if broken is not None:
        problem = {"line": broken.line, "problem": broken.problem}
        text = f"BROKEN at line {broken.line} of {log.path}: {broken.problem}"
        print_result("audit", {"intact": False, "broken": problem, "entries": None}, text)
        return ExitCode.ERROR
    head = log.head()
    text = f"intact: {plural(head.seq, 'entry', 'entries')}, newest {head}"
    print_result("audit", {"intact": True, "broken": None, "entries": head.seq}, text)
    findings = find_contradictions()
    for finding in findings:
        fields = {"subject": finding.subject, "problem": finding.problem, "vault": finding.vault}
        print_result("contradiction", fields, escape_text(f"WRONG  {finding}"))
    return ExitCode.ERROR if findings else ExitCode.OK


@command(
    Example(
        'hashwacht audit accept --reason "The state was restored from the backup of Monday."',
        "Accept what `audit verify` reports now.",
    ),
    name="accept",
)
@reason_option()
def accept(reason: str) -> None:
    """Accept the contradictions that `audit verify` reports now, with a reason.

    The log records them, and later checks no longer report them.  Others are still reported.
    """
    from hashwacht.audit.log import AuditEvent

    findings = [*map(str, find_contradictions())]
    settings = global_options().configuration().settings
    for first in range(0, len(findings), _MAX_ACCEPTED):
        some: list[JSON] = [*findings[first : first + _MAX_ACCEPTED]]
        record_audit(settings, AuditEvent.EVIDENCE_ACCEPTED, {"reason": reason, "findings": some})
    print_text(f"{plural(len(findings), 'contradiction')} accepted")


@command(
    Example("hashwacht audit checkpoint", "Print the checkpoint."),
    Example(
        "hashwacht audit checkpoint | ssh elsewhere 'cat >> audit'",
        "Append it to a file on another machine; run this daily from a timer.",
    ),
    json=True,
    name="checkpoint",
)
def checkpoint_command() -> None:
    """Print a checkpoint: the number and hash of the newest entry, to store elsewhere."""
    head = _log().head()
    print_result("checkpoint", {"seq": head.seq, "hash": head.hash}, str(head))


def _read_checkpoint(file: Path) -> Checkpoint:
    """Read the last checkpoint in a file, such as an alert.  Raises UsageError."""
    from hashwacht.audit.log import Checkpoint

    try:
        checkpoint = Checkpoint.find_last(file.read_text(errors="replace"))
    except OSError:
        checkpoint = None
    if checkpoint is None:
        raise UsageError(
            f"{file} contains no checkpoint",
            advice="Name a file with the output of `hashwacht audit checkpoint`, or an alert.",
        )
    return checkpoint


@command(
    Example("hashwacht audit export /srv/archive/audit", "Write the entries since the last one."),
    Example(
        "hashwacht audit export --keep 52 /srv/archive/audit",
        "Weekly from a timer: keep the files of a year.",
    ),
    json=True,
    name="export",
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--keep", type=click.IntRange(1), metavar="N", help="Remove all but the N newest files."
)
def export(directory: Path, keep: int | None) -> None:
    """Write the entries since the last export as a new file in DIRECTORY.

    The files never change; put together they are the log.  A log that does not continue the last
    file was replaced, which is an error.
    """
    from hashwacht.audit.export import export_new, remove_oldest

    segments = export_new(_log(), directory)
    for segment in segments:
        fields = {"file": str(segment.path), "first": segment.first, "last": segment.last}
        text = f"{segment.path}: entries {segment.first} to {segment.last}"
        print_result("audit-export", fields, text)
    if not segments:
        print_text("No new entries.")
    for removed in remove_oldest(directory, keep) if keep else ():
        print_text(f"removed {removed.path}")


for subcommand in (show, verify, accept, checkpoint_command, export):
    audit_command.add_command(subcommand)
