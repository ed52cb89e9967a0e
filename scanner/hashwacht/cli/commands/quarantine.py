"""``hashwacht quarantine``: the key that opens sealed files, and the vault they lie in."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import reason_option, record
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import this_call
from hashwacht.cli.output import emit, harmless, line
from hashwacht.cli.render.figures import many, moment, size
from hashwacht.core.errors import CredentialError, ExitCode, UsageError
from hashwacht.core.paths import show, to_json

if TYPE_CHECKING:
    from hashwacht.quarantine.record import Record
    from hashwacht.quarantine.results import Refusal
    from hashwacht.quarantine.vault import Vault
    from hashwacht.quarantine.verify_vault import Finding


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht quarantine key key.txt", "Make a pair of keys, on another machine."),
        Example("hashwacht quarantine verify", "Look if every sealed file is whole."),
    ),
)
def quarantine_command() -> None:
    """Make the key for quarantine, list and verify what is sealed.

    Files are sealed for a public key; the private half, which opens them, need not be on this
    machine.  `hashwacht cases` restores and destroys them.
    """


def _vault() -> Vault:
    from hashwacht import bootstrap

    return bootstrap.vault(this_call().configuration().settings)


@command(
    Example("hashwacht quarantine key key.txt", "Write both halves, print the public one."),
    Example(
        "hashwacht quarantine key - | ssh safe 'cat > key.txt'", "Never have it on a disk here."
    ),
    json=True,
    name="key",
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def key(file: Path) -> None:
    """Make a pair of keys: the private half into FILE (mode 0600), the public one printed.

    Do it on another machine, or move FILE to one and keep a copy: without it no sealed file can
    ever be opened.  The public half belongs into quarantine.recipients.  A file that age-keygen
    has made will do as well.
    """
    from hashwacht.quarantine.age import make_key_pair

    pair = make_key_pair()
    text = pair.to_text(datetime.now(UTC).isoformat(timespec="seconds"))
    if str(file) == "-":
        line(f"public key: {pair.public}", to=sys.stderr)
        sys.stdout.write(text)
        return
    _write_new(file, text)
    if this_call().as_json:
        emit("key", {"public": pair.public, "file": str(file)})
    else:
        line(f"public key: {pair.public}")
        line(harmless(f"private key: in {file}; keep it on another machine"), to=sys.stderr)


def _write_new(file: Path, text: str) -> None:
    """Write a file that nobody else may read and that was not there.  Raises CredentialError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(file, flags, 0o600), "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise CredentialError(
            f"{file}: {error.strerror}", advice="Name a file that is not there yet."
        ) from error


@command(
    Example("hashwacht quarantine list", "Say what is sealed, and what was."),
    json=True,
    name="list",
)
def list_sealed() -> None:
    """List what is in the vault; what was restored or destroyed has left its receipt there."""
    records = sorted(_vault().records(), key=lambda record: record.at)
    for each in records:
        if this_call().as_json:
            emit("sealed", _fields(each))
        else:
            line(harmless(_text(each)) + show(each.path))
    if not records and not this_call().as_json:
        line("Nothing was ever sealed.")


def _text(record: Record) -> str:
    return (
        f"{record.id}  {record.state:<9}  {moment(record.at)}  {size(record.attributes.size):>8}"
        f"  user {record.attributes.uid}  "
    )


def _fields(record: Record) -> dict[str, object]:
    ending = record.ending
    return {
        "vault": record.id,
        "state": record.state,
        **to_json(record.path),
        "sha256": record.key,
        "size": record.attributes.size,
        "uid": record.attributes.uid,
        "gid": record.attributes.gid,
        "at": record.at,
        "recipients": list(record.sealing.recipients) if record.sealing else [],
        "ended": None
        if ending is None
        else {"at": ending.at, "who": ending.who, "why": ending.why},
    }


@command(
    Example("hashwacht quarantine verify", "Read every sealed file; needs no key."),
    json=True,
    name="verify",
)
def verify() -> ExitCode:
    """Read the vault through and say whether everything is as it was sealed; exit code 2 if not."""
    findings, wrong = 0, 0
    for each in _vault().verify():
        findings += 1
        wrong += each.fault is not None
        _tell(each)
    if not this_call().as_json:
        line(f"{many(findings, 'entry', 'entries')}, {wrong} wrong")
    return ExitCode.ERROR if wrong else ExitCode.OK


@command(
    Example(
        'hashwacht quarantine give-up 5b6c1f0e9a7d4c21 --reason "The account was deleted."',
        "Look for it no more.",
    ),
    name="give-up",
)
@click.argument("entry", metavar="ENTRY")
@reason_option()
def give_up(entry: str, reason: str) -> ExitCode:
    """Give up a file that an interrupted act has left where it cannot be found.

    Such an entry is unfinished for `hashwacht quarantine verify`: everything stopped while its
    file was being taken, and since then its directory was moved away or removed.  It is looked for
    once more before.  What is sealed stays so.
    """
    from hashwacht.audit.log import Act
    from hashwacht.quarantine.recovery import Outcome
    from hashwacht.quarantine.results import Refusal

    done = _vault().give_up(entry)
    if isinstance(done, Refusal):
        raise UsageError(f"{entry}: {done.detail or done.reason}", advice=_advice(done))
    if done.outcome is not Outcome.STUCK:
        line(f"{entry}: found, and settled after all: {done.outcome}")
        return ExitCode.OK
    about = {} if done.record is None else {**to_json(done.record.path), "sha256": done.record.key}
    facts = {"vault": entry, "reason": reason, "detail": done.detail, **about}
    record(this_call().configuration().settings, Act.GIVEN_UP, facts)
    line(harmless(f"{entry}: given up; {done.detail}"))
    return ExitCode.OK


def _advice(refusal: Refusal) -> str:
    from hashwacht.quarantine.results import Obstacle

    if refusal.reason is Obstacle.UNKNOWN:
        return "`hashwacht quarantine verify` names what is unfinished."
    return refusal.reason.advice


def _tell(found: Finding) -> None:
    if this_call().as_json:
        state, fault = found.state, found.fault
        emit("finding", {"vault": found.id, "state": state, "fault": fault, "detail": found.detail})
    elif found.fault is not None:
        detail = f" ({found.detail})" if found.detail else ""
        line(harmless(f"WRONG  {found.id or 'the vault'}: {found.fault}{detail}"))


for each_command in (key, list_sealed, verify, give_up):
    quarantine_command.add_command(each_command)
