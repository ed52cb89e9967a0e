"""``hashwacht audit``: what was done by whom, and whether that log is as it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import time_option
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import escape_text, plural

if TYPE_CHECKING:
    from hashwacht.audit.chain import AuditEntry
    from hashwacht.audit.log import AuditLog, Checkpoint


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht audit verify", "Look if anybody has changed the log."),
        Example("hashwacht audit checkpoint > /mnt/elsewhere/audit", "Keep its newest entry."),
    ),
)
def audit_command() -> None:
    """Show and verify the audit log, and make checkpoints to keep elsewhere.

    Every entry holds the hash of the one before.  What was cut off at the end, and a log that was
    written anew as a whole, show only against a checkpoint that was kept where whoever did that
    could not write.
    """


def _log() -> AuditLog:
    from hashwacht import bootstrap

    return bootstrap.audit_log(global_options().configuration().settings)


@command(
    Example("hashwacht audit show", "The latest 50 acts."),
    Example("hashwacht audit show --act destroyed -n 1000", "Who destroyed what, and why."),
    json=True,
    name="show",
)
@click.option("-n", "--number", type=click.IntRange(1), default=50, help="How many; default 50.")
@click.option("--act", default="", metavar="ACT", help="Only this one, such as released.")
@time_option("--since", help="Only those since a date or a span before now.")
def show(*, number: int, act: str, since: float | None) -> None:
    """Show the latest entries, the newest last."""
    _must_be_known(act)

    def wanted(entry: AuditEntry) -> bool:
        if act and entry.act != act:
            return False
        return since is None or datetime.fromisoformat(entry.at).timestamp() >= since

    entries = _log().latest(number, wanted)
    for entry in entries:
        if global_options().as_json:
            emit("entry", _fields(entry))
        else:
            facts = json.dumps(entry.facts, ensure_ascii=False)
            line(escape_text(f"{entry.seq:>6}  {entry.at}  {entry.who}  {entry.act}  {facts}"))
    if not entries and not global_options().as_json:
        line("No such entry.")


def _must_be_known(act: str) -> None:
    """Refuse a word that no entry has, or who looks for it would believe it never happened."""
    from hashwacht.audit.log import AuditEvent

    acts = [*AuditEvent]
    if act and act not in acts:
        raise UsageError(f"there is no act {act!r}", advice=f"Give one of {', '.join(acts)}.")


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
    Example("hashwacht audit verify", "Go through the whole chain."),
    Example("hashwacht audit verify --checkpoint /mnt/elsewhere/audit", "And compare its end."),
    json=True,
    name="verify",
)
@click.option(
    "--checkpoint",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `hashwacht audit checkpoint` printed; its last line counts.",
)
def verify(checkpoint: Path | None) -> ExitCode:
    """Check that the log is unchanged; exit code 2 and the first broken line if it is not."""
    log = _log()
    kept = None if checkpoint is None else _kept(checkpoint)
    broken = log.verify(kept)
    if broken is not None:
        problem = {"line": broken.line, "problem": broken.problem}
        text = f"BROKEN at line {broken.line} of {log.path}: {broken.problem}"
        _tell({"intact": False, "broken": problem, "entries": None}, text)
        return ExitCode.ERROR
    head = log.head()
    text = f"intact: {plural(head.seq, 'entry', 'entries')}, the newest is {_text(head)}"
    _tell({"intact": True, "broken": None, "entries": head.seq}, text)
    return ExitCode.OK


def _tell(fields: Mapping[str, object], text: str) -> None:
    if global_options().as_json:
        emit("audit", fields)
    else:
        line(escape_text(text))


@command(
    Example("hashwacht audit checkpoint", "Print number and hash of the newest entry."),
    Example(
        "hashwacht audit checkpoint | ssh elsewhere 'cat >> audit'",
        "Keep it where nobody of this machine can write; from a timer, once a day.",
    ),
    json=True,
    name="checkpoint",
)
def checkpoint_command() -> None:
    """Print a checkpoint: number and hash of the newest entry, to be kept elsewhere."""
    head = _log().head()
    if global_options().as_json:
        emit("checkpoint", {"seq": head.seq, "hash": head.hash})
    else:
        line(_text(head))


def _text(point: Checkpoint) -> str:
    return f"{point.seq}:{point.hash}"


def _kept(file: Path) -> Checkpoint:
    """Read the last checkpoint in a file, as text or as JSON.  Raises UsageError."""
    from hashwacht.audit.log import Checkpoint

    try:
        last = file.read_text().split("\n")
        text = next(each for each in reversed(last) if each.strip())
        if text.startswith("{"):
            fields = json.loads(text)
            return Checkpoint(int(fields["seq"]), str(fields["hash"]))
        seq, _, digest = text.strip().partition(":")
        return Checkpoint(int(seq), digest)
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise UsageError(
            f"{file} has no checkpoint",
            advice="Give a file with what `hashwacht audit checkpoint` printed.",
        ) from error


for each_command in (show, verify, checkpoint_command):
    audit_command.add_command(each_command)
