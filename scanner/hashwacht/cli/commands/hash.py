"""``hashwacht hash``: print the signals of files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import display_name, files_argument, global_options, open_input
from hashwacht.cli.output import emit, line, print_result
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.ports import Fingerprinter
from hashwacht.core.text import escape_text
from hashwacht.core.types import Fingerprint, Signal, Skip
from hashwacht.storage.cases import signal_to_json


@command(
    Example("hashwacht hash picture.jpg", "Print its digests and picture hashes."),
    Example("hashwacht hash --views picture.jpg", "Print the hashes of its views, too."),
    Example("hashwacht hash --json *.png | jq .", "Print the full fingerprints as JSON."),
    Example("curl -s https://example.org/a.jpg | hashwacht hash -", "Hash standard input."),
    json=True,
)
@files_argument()
@click.option(
    "--views",
    is_flag=True,
    help="Also hash what lists are asked about: rotated, mirrored, without a border and so on.",
)
def hash_command(files: Sequence[bytes], *, views: bool) -> ExitCode:
    """Print the signals of files: digests, and picture hashes with their quality.

    Those of the members of an archive follow.  No matcher is queried.  Without --views pictures
    are hashed as they are stored.  - reads standard input.  The exit code is 3 if a file could not
    be read or a hash that applies to it could not be computed.
    """
    from hashwacht import bootstrap
    from hashwacht.core.signals import BUILT_IN

    call = global_options()
    settings = call.configuration().settings
    if not views:
        settings = replace(settings, fingerprint=replace(settings.fingerprint, views=()))
    pool = bootstrap.fingerprinter(settings, BUILT_IN)
    fingerprinter = bootstrap.opening_archives(settings, pool, pool)
    try:
        complete = [
            _print(name, fingerprint)
            for name, fingerprint in _fingerprints(fingerprinter, files, as_json=call.as_json)
        ]
    finally:
        fingerprinter.close()
    return ExitCode.OK if len(complete) == len(files) and all(complete) else ExitCode.UNDETERMINED


def _fingerprints(
    fingerprinter: Fingerprinter, files: Sequence[bytes], *, as_json: bool
) -> Iterator[tuple[bytes, Fingerprint]]:
    """Yield the fingerprint of each file; report and skip files that cannot be read."""
    for name in files:
        try:
            with open_input(name) as fd:
                yield name, fingerprinter.fingerprint(fd)
        except OSError as error:
            problem = error.strerror or "cannot be read"
            if as_json:
                emit(
                    "unreadable", {**to_json(display_name(name)), "detail": problem}, to=sys.stderr
                )
            else:
                line(f"hashwacht: {escape_path(display_name(name))}: {problem}", to=sys.stderr)


def _print(name: bytes, fingerprint: Fingerprint) -> bool:
    """Print one fingerprint; return whether it has every signal that applies to the file."""
    path = display_name(name)
    shown = escape_path(path)
    lines = [f"{text}  {shown}" for text in _lines(fingerprint)]
    for member in fingerprint.members:
        lines += [f"{text}  {shown}!/{member.name}" for text in _lines(member.fingerprint)]
    members = [
        {"name": member.name, **_fields(member.fingerprint)} for member in fingerprint.members
    ]
    fields = _fields(fingerprint) | ({"members": members} if members else {})
    print_result("fingerprint", {**to_json(path), **fields}, *lines)
    every = (fingerprint, *(member.fingerprint for member in fingerprint.members))
    return not any(skip.reason.undetermined for content in every for skip in content.skipped)


def _lines(fingerprint: Fingerprint) -> Iterator[str]:
    if not any(signal.type == "sha256" for signal in fingerprint.signals):
        yield f"sha256:{fingerprint.key}"
    for signal in fingerprint.signals:
        notes = [signal.variant] if signal.variant else []
        if signal.quality is not None:
            notes.append(f"quality {signal.quality}{_restriction(signal)}")
        yield f"{signal}  ({', '.join(notes)})" if notes else str(signal)
    for skip in fingerprint.skipped:
        yield f"{skip.type}:-  ({_reason(skip)})"


def _restriction(signal: Signal) -> str:
    """Return how a hash of poor quality is looked up, empty for others."""
    if signal.reliable:
        return ""
    if not signal.matchable:
        return ", not looked up"
    return ", too regular or too even: only an equal value matches"


def _reason(skip: Skip) -> str:
    return escape_text(f"{skip.reason}: {skip.detail}" if skip.detail else str(skip.reason))


def _fields(fingerprint: Fingerprint) -> dict[str, object]:
    return {
        "sha256": fingerprint.key,
        "size": fingerprint.size,
        "kind": fingerprint.kind,
        "damaged": fingerprint.damaged,
        "recipe": list(fingerprint.recipe),
        "signals": [signal_to_json(signal) for signal in fingerprint.signals],
        "skipped": [
            {"type": skip.type, "reason": skip.reason, "detail": skip.detail}
            for skip in fingerprint.skipped
        ],
    }
