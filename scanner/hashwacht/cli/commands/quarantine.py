"""``hashwacht quarantine``: the key that opens sealed files, and the vault they lie in."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import reason_option, record_audit
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import CredentialError, ExitCode, UsageError
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text, format_size, format_time, plural

if TYPE_CHECKING:
    from hashwacht.quarantine.failures import ActionFailure
    from hashwacht.quarantine.record import EntryRecord
    from hashwacht.quarantine.vault import Vault
    from hashwacht.quarantine.verify_vault import VaultFinding


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht quarantine keygen key.txt", "Make a pair of keys, on another machine."),
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

    return bootstrap.vault(global_options().configuration().settings)


@command(
    Example("hashwacht quarantine keygen key.txt", "Write both halves, print the public one."),
    Example(
        "hashwacht quarantine keygen - | ssh safe 'cat > key.txt'", "Never have it on a disk here."
    ),
    json=True,
    name="keygen",
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def key(file: Path) -> None:
    """Make a pair of keys: the private half into FILE (mode 0600), the public one printed.

    Do it on another machine, or move FILE to one and keep a copy: without it no sealed file can
    ever be opened.  The public half belongs into quarantine.recipients.  A file that age-keygen
    has made will do as well.
    """
    from hashwacht.quarantine.age import generate_key_pair

    pair = generate_key_pair()
    text = pair.to_text(datetime.now(UTC).isoformat(timespec="seconds"))
    if str(file) == "-":
        line(f"public key: {pair.public}", to=sys.stderr)
        sys.stdout.write(text)
        return
    _write_new(file, text)
    if global_options().as_json:
        emit("key", {"public_key": pair.public, "file": str(file)})
    else:
        line(f"public key: {pair.public}")
        line(escape_text(f"private key: in {file}; keep it on another machine"), to=sys.stderr)


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
        if global_options().as_json:
            emit("vault-entry", _fields(each))
        else:
            line(escape_text(_text(each)) + escape_path(each.path))
    if not records and not global_options().as_json:
        line("Nothing was ever sealed.")


def _text(record: EntryRecord) -> str:
    return (
        f"{record.id}  {record.state:<9}  {format_time(record.at)} "
        f" {format_size(record.attributes.size):>8}"
        f"  user {record.attributes.uid}  "
    )


def _fields(record: EntryRecord) -> dict[str, object]:
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
    if not global_options().as_json:
        line(f"{plural(findings, 'entry', 'entries')}, {wrong} wrong")
    return ExitCode.ERROR if wrong else ExitCode.OK


@command(
    Example(
        'hashwacht quarantine abandon 5b6c1f0e9a7d4c21 --reason "The account was deleted."',
        "Look for it no more.",
    ),
    name="abandon",
)
@click.argument("entry", metavar="ENTRY")
@reason_option()
def abandon(entry: str, reason: str) -> ExitCode:
    """Abandon an entry whose file cannot be found after an interrupted operation.

    Such an entry is unfinished for `hashwacht quarantine verify`: everything stopped while its
    file was being taken, and since then its directory was moved away or removed.  It is looked for
    once more before.  What is sealed stays so.
    """
    from hashwacht.audit.log import AuditEvent
    from hashwacht.quarantine.failures import ActionFailure
    from hashwacht.quarantine.recovery import RecoveryOutcome

    done = _vault().abandon(entry)
    if isinstance(done, ActionFailure):
        raise UsageError(f"{entry}: {done.detail or done.reason}", advice=_advice(done))
    if done.outcome is not RecoveryOutcome.STUCK:
        line(f"{entry}: found, and settled after all: {done.outcome}")
        return ExitCode.OK
    about = {} if done.record is None else {**to_json(done.record.path), "sha256": done.record.key}
    facts = {"vault": entry, "reason": reason, "detail": done.detail, **about}
    record_audit(global_options().configuration().settings, AuditEvent.GIVEN_UP, facts)
    line(escape_text(f"{entry}: given up; {done.detail}"))
    return ExitCode.OK


def _advice(refusal: ActionFailure) -> str:
    from hashwacht.quarantine.failures import FailureReason

    if refusal.reason is FailureReason.UNKNOWN:
        return "`hashwacht quarantine verify` names what is unfinished."
    return refusal.reason.advice


def _tell(found: VaultFinding) -> None:
    if global_options().as_json:
        state, fault = found.state, found.fault
        emit("finding", {"vault": found.id, "state": state, "fault": fault, "detail": found.detail})
    elif found.fault is not None:
        detail = f" ({found.detail})" if found.detail else ""
        line(escape_text(f"WRONG  {found.id or 'the vault'}: {found.fault}{detail}"))


for each_command in (key, list_sealed, verify, abandon):
    quarantine_command.add_command(each_command)
