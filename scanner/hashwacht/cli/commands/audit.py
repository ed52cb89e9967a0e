"""``hashwacht audit``: the log of all acts, and the check that it is unchanged."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options, number_option, time_option
from hashwacht.cli.output import print_result, print_text
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import plural

if TYPE_CHECKING:
    from hashwacht.audit.chain import AuditEntry
    from hashwacht.audit.log import AuditLog, Checkpoint


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
    of this machine.
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

    entries = _log().latest(number, wanted)
    for entry in entries:
        facts = json.dumps(entry.facts, ensure_ascii=False)
        text = f"{entry.seq:>6}  {entry.at}  {entry.who}  {entry.act}  {facts}"
        print_result("entry", _fields(entry), text)
    if not entries:
        print_text("No matching entries.")


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
    help="Compare with the last checkpoint in this file, from `hashwacht audit checkpoint`.",
)
def verify(checkpoint: Path | None) -> ExitCode:
    """Check that the log is unchanged; exit code 2 and the first broken line if not."""
    log = _log()
    broken = log.verify(None if checkpoint is None else _read_checkpoint(checkpoint))
    if broken is not None:
        problem = {"line": broken.line, "problem": broken.problem}
        text = f"BROKEN at line {broken.line} of {log.path}: {broken.problem}"
        print_result("audit", {"intact": False, "broken": problem, "entries": None}, text)
        return ExitCode.ERROR
    head = log.head()
    text = f"intact: {plural(head.seq, 'entry', 'entries')}, newest {_text(head)}"
    print_result("audit", {"intact": True, "broken": None, "entries": head.seq}, text)
    return ExitCode.OK


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
    print_result("checkpoint", {"seq": head.seq, "hash": head.hash}, _text(head))


def _text(point: Checkpoint) -> str:
    return f"{point.seq}:{point.hash}"


def _read_checkpoint(file: Path) -> Checkpoint:
    """Read the last checkpoint in a file, as text or as JSON.  Raises UsageError."""
    from hashwacht.audit.log import Checkpoint

    try:
        lines = file.read_text().split("\n")
        text = next(line for line in reversed(lines) if line.strip())
        if text.startswith("{"):
            fields = json.loads(text)
            return Checkpoint(int(fields["seq"]), str(fields["hash"]))
        seq, _, digest = text.strip().partition(":")
        return Checkpoint(int(seq), digest)
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise UsageError(
            f"{file} contains no checkpoint",
            advice="Name a file with the output of `hashwacht audit checkpoint`.",
        ) from error


for subcommand in (show, verify, checkpoint_command):
    audit_command.add_command(subcommand)
