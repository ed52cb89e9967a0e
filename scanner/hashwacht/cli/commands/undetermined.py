"""``hashwacht undetermined``: contents that could not be judged, and decisions to accept them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import existing_store, invoking_user, record_audit
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options, number_option, reason_option
from hashwacht.cli.output import print_cut, print_result, print_text
from hashwacht.core.errors import UsageError
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text, format_time
from hashwacht.core.types import Outcome

if TYPE_CHECKING:
    from hashwacht.storage.accepted import Acceptance
    from hashwacht.storage.contents import StoredContent
    from hashwacht.storage.store import Store

_KEY = re.compile("[0-9a-f]{64}")
_MAX_PATHS = 3
"""Paths that are shown of a content."""


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht undetermined list", "List contents that could not be judged."),
        Example(
            'hashwacht undetermined accept 9f86d0…0a08 --reason "A font of ours."', "Accept one."
        ),
    ),
)
def undetermined_command() -> None:
    """List undetermined contents; accept what cannot be judged.

    An accepted content stays undetermined, but is no longer counted, reported or held.  It counts
    again if it becomes undetermined for another reason, and a match is always reported.
    """


@command(
    Example("hashwacht undetermined list", "List the newest ones, with their paths."),
    Example("hashwacht undetermined list --json | jq -r .sha256", "Print their digests."),
    json=True,
    name="list",
)
@number_option(50, "contents")
def list_undetermined(*, number: int) -> None:
    """List contents whose last verdict is undetermined, newest first."""
    numbers: list[int] = []
    with existing_store() as store:
        if store is not None:
            numbers = store.reports.load_undetermined(number + 1)
            contents = store.contents.load(numbers[:number]).values()
            accepted = store.accepted.load(content.fingerprint.key for content in contents)
            for content in contents:
                acceptance = accepted.get(content.fingerprint.key)
                paths = store.files.load_paths(content.id, _MAX_PATHS + 1)
                fields = _fields(content, paths, acceptance)
                print_result("undetermined", fields, *_lines(content, paths, acceptance))
    if not numbers:
        print_text("No content is undetermined.")
    if len(numbers) > number:
        print_cut(number, "contents")


def _fields(
    content: StoredContent, paths: list[bytes], acceptance: Acceptance | None
) -> dict[str, object]:
    accepted = acceptance and {
        "reason": acceptance.reason,
        "at": acceptance.at,
        "by": acceptance.actor,
        "text": acceptance.text,
    }
    return {
        "sha256": content.fingerprint.key,
        "reason": content.reason,
        "kind": content.fingerprint.kind,
        "size": content.fingerprint.size,
        "paths": [to_json(path) for path in paths[:_MAX_PATHS]],
        "has_more_paths": len(paths) > _MAX_PATHS,
        "accepted": accepted,
    }


def _lines(
    content: StoredContent, paths: list[bytes], acceptance: Acceptance | None
) -> Iterator[str]:
    yield f"{content.fingerprint.key}  {content.reason}  {escape_text(content.fingerprint.kind)}"
    for path in paths[:_MAX_PATHS]:
        yield f"  {escape_path(path)}"
    if len(paths) > _MAX_PATHS:
        yield "  and more paths"
    if acceptance is not None:
        yield (
            f"  accepted as {acceptance.reason} {format_time(acceptance.at)} by"
            f" {escape_text(acceptance.actor)}: {escape_text(acceptance.text)}"
        )


@command(
    Example('hashwacht undetermined accept 9f86d0…0a08 --reason "Checked by hand."', "Accept it."),
    name="accept",
)
@click.argument("keys", metavar="SHA256...", nargs=-1, required=True)
@reason_option()
def accept(keys: tuple[str, ...], reason: str) -> None:
    """Accept contents that cannot be judged; the decision is recorded in the audit log."""
    from hashwacht.audit.log import AuditEvent
    from hashwacht.storage.accepted import Acceptance

    settings = global_options().configuration().settings
    with existing_store() as store:
        contents = [_load(store, key) for key in keys]
        for content in contents:
            key, why = content.fingerprint.key, content.reason
            assert store is not None
            assert why is not None
            facts = {"sha256": key, "undetermined": why.value, "reason": reason}
            record_audit(settings, AuditEvent.UNDETERMINED_ACCEPTED, facts)
            store.accepted.record(Acceptance(key, why, time.time(), invoking_user(), reason))
            print_text(f"{key} is accepted as {why}.")


def _load(store: Store | None, key: str) -> StoredContent:
    """Return an undetermined content that may be accepted.  Raises UsageError."""
    from hashwacht.storage.accepted import ACCEPTABLE_REASONS

    if not _KEY.fullmatch(key):
        raise UsageError(
            f"not a SHA-256: {escape_text(key)}",
            advice="Copy all 64 digits from `hashwacht undetermined list`.",
        )
    numbers = store.contents.load_ids([key]) if store is not None else {}
    content = next(iter(store.contents.load(numbers.values()).values()), None) if store else None
    if content is None or content.outcome is not Outcome.UNDETERMINED:
        raise UsageError(
            f"no undetermined content has the SHA-256 {key}",
            advice="List them with `hashwacht undetermined list`.",
        )
    if content.reason not in ACCEPTABLE_REASONS:
        raise UsageError(
            f"{key} is undetermined ({content.reason}) only for now",
            advice="It is checked again automatically, or by the next scan or recheck.",
        )
    return content


@command(
    Example('hashwacht undetermined withdraw 9f86d0…0a08 --reason "Too early."', "Count it again."),
    name="withdraw",
)
@click.argument("keys", metavar="SHA256...", nargs=-1, required=True)
@reason_option()
def withdraw(keys: tuple[str, ...], reason: str) -> None:
    """Withdraw the acceptance of contents, which then count as undetermined again."""
    from hashwacht.audit.log import AuditEvent

    settings = global_options().configuration().settings
    with existing_store() as store:
        accepted = store.accepted.load(filter(_KEY.fullmatch, keys)) if store is not None else {}
        if unknown := [key for key in keys if key not in accepted]:
            raise UsageError(
                f"not accepted: {escape_text(unknown[0])}",
                advice="List accepted contents with `hashwacht undetermined list`.",
            )
        for key in keys:
            assert store is not None
            facts = {"sha256": key, "reason": reason}
            record_audit(settings, AuditEvent.ACCEPTANCE_WITHDRAWN, facts)
            store.accepted.remove(key)
            print_text(f"{key} counts as undetermined again.")


undetermined_command.add_command(list_undetermined)
undetermined_command.add_command(accept)
undetermined_command.add_command(withdraw)
