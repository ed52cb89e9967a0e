"""``hashwacht quarantine``: the key pair for sealed files, and the vault that stores them."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import find_contradictions, record_audit
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options, reason_option
from hashwacht.cli.output import line, print_result, print_text
from hashwacht.core.errors import CredentialError, ExitCode, UsageError
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text, format_size, format_time, plural

if TYPE_CHECKING:
    from hashwacht.quarantine.failures import ActionFailure
    from hashwacht.quarantine.record import EntryRecord
    from hashwacht.quarantine.vault import Vault
    from hashwacht.quarantine.vault_store import VaultFinding


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht quarantine keygen key.txt", "Generate a key pair on another machine."),
        Example("hashwacht quarantine verify", "Verify every sealed file."),
    ),
)
def quarantine_command() -> None:
    """Generate the key pair for quarantine; list and verify sealed files.

    Files are sealed for a public key; the private key that opens them should be kept on another
    machine.  Use `hashwacht cases` to restore and destroy sealed files.
    """


def _vault() -> Vault:
    from hashwacht import bootstrap

    return bootstrap.vault(global_options().configuration().settings)


@command(
    Example("hashwacht quarantine keygen key.txt", "Write both keys, print the public one."),
    Example(
        "hashwacht quarantine keygen - | ssh safe 'cat > key.txt'",
        "Store the private key on another machine only.",
    ),
    json=True,
    name="keygen",
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def key(file: Path) -> None:
    """Generate a key pair: write the private key to FILE (mode 0600), print the public key.

    Run this on another machine, or move FILE to one, and keep a backup: without the private key
    no sealed file can be opened.  Set quarantine.recipients to the public key.  A key pair from
    age-keygen can be used as well.
    """
    from hashwacht.quarantine.age import generate_key_pair

    pair = generate_key_pair()
    text = pair.to_text(datetime.now(UTC).isoformat(timespec="seconds"))
    if str(file) == "-":
        line(f"public key: {pair.public}", to=sys.stderr)
        sys.stdout.write(text)
        return
    _write_new(file, text)
    fields = {"public_key": pair.public, "file": str(file)}
    print_result("key", fields, f"public key: {pair.public}")
    if not global_options().as_json:
        line(escape_text(f"private key: {file}; keep it on another machine"), to=sys.stderr)


def _write_new(file: Path, text: str) -> None:
    """Write a new file that only its owner can read.  Raises CredentialError if it exists."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(file, flags, 0o600), "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise CredentialError(
            f"{file}: {error.strerror}", advice="Name a new file in an existing directory."
        ) from error


@command(
    Example("hashwacht quarantine list", "List sealed, restored and destroyed files."),
    json=True,
    name="list",
)
def list_sealed() -> None:
    """List the entries of the vault, including those restored or destroyed."""
    records = sorted(_vault().records(), key=lambda record: record.at)
    for record in records:
        print_result("vault-entry", _fields(record), _text(record))
    if not records:
        print_text("The vault is empty.")


def _text(record: EntryRecord) -> str:
    return (
        f"{record.id}  {record.state:<9}  {format_time(record.at)} "
        f" {format_size(record.attributes.size):>8}"
        f"  user {record.attributes.uid}  {escape_path(record.path)}"
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
    Example("hashwacht quarantine verify", "Read every sealed file; no key is needed."),
    json=True,
    name="verify",
    exit_status={ExitCode.OK: "Every entry is intact.", ExitCode.ERROR: "An entry is not intact."},
)
def verify() -> ExitCode:
    """Verify that every entry of the vault is intact and complete; exit code 2 if not.

    Reads all sealed files and compares them with the checksums from when they were sealed, and
    compares the entries with what the audit log records about them.
    """
    from hashwacht.quarantine.vault_store import VaultFault, VaultFinding

    total, faulty = 0, 0
    for finding in _vault().verify():
        total += 1
        faulty += finding.fault is not None
        print_result("finding", _finding_fields(finding), *_finding_lines(finding))
    for contradiction in find_contradictions():
        if contradiction.vault:
            faulty += 1
            fault, detail = VaultFault.NOT_AS_RECORDED, contradiction.problem
            finding = VaultFinding(contradiction.vault, None, fault, detail)
            print_result("finding", _finding_fields(finding), *_finding_lines(finding))
    print_text(f"{plural(total, 'entry', 'entries')}, {faulty} wrong")
    return ExitCode.ERROR if faulty else ExitCode.OK


def _finding_lines(finding: VaultFinding) -> list[str]:
    if finding.fault is None:
        return []
    detail = f" ({finding.detail})" if finding.detail else ""
    return [f"WRONG  {finding.id or 'the vault'}: {finding.fault}{detail}"]


def _finding_fields(finding: VaultFinding) -> dict[str, object]:
    return {
        "vault": finding.id,
        "state": finding.state,
        "fault": finding.fault,
        "detail": finding.detail,
    }


@command(
    Example(
        'hashwacht quarantine abandon 5b6c1f0e9a7d4c21 --reason "The account was deleted."',
        "Stop searching for its file.",
    ),
    name="abandon",
)
@click.argument("entry", metavar="ENTRY")
@reason_option()
def abandon(entry: str, reason: str) -> ExitCode:
    """Abandon an entry whose file cannot be found after an interrupted operation.

    `hashwacht quarantine verify` reports such an entry as unfinished: a crash interrupted its
    sealing or restoration, and its directory has since been moved or removed.  The file is
    searched for once more first.  Sealed content is kept.
    """
    from hashwacht.audit.log import AuditEvent
    from hashwacht.quarantine.failures import ActionFailure
    from hashwacht.quarantine.recovery import RecoveryOutcome

    result = _vault().abandon(entry)
    if isinstance(result, ActionFailure):
        raise UsageError(f"{entry}: {result.detail or result.reason}", advice=_advice(result))
    if result.outcome is not RecoveryOutcome.STUCK:
        print_text(f"{entry}: not abandoned, the file was found: {result.outcome}")
        return ExitCode.OK
    record = result.record
    about = {} if record is None else {**to_json(record.path), "sha256": record.key}
    facts = {"vault": entry, "reason": reason, "detail": result.detail, **about}
    record_audit(global_options().configuration().settings, AuditEvent.GIVEN_UP, facts)
    print_text(f"{entry}: abandoned; {result.detail}")
    return ExitCode.OK


def _advice(failure: ActionFailure) -> str:
    from hashwacht.quarantine.failures import FailureReason

    if failure.reason is FailureReason.UNKNOWN:
        return "Run `hashwacht quarantine verify` to list unfinished entries."
    return failure.reason.advice


for subcommand in (key, list_sealed, verify, abandon):
    quarantine_command.add_command(subcommand)
