"""``hashwacht hash``: the signals themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import display_name, global_options, open_input
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.ports import Fingerprinter
from hashwacht.core.text import escape_text
from hashwacht.core.types import Fingerprint, Skip
from hashwacht.storage.cases import signal_to_json


@command(
    Example("hashwacht hash picture.jpg", "Print its digests and picture hashes."),
    Example("hashwacht hash --json *.png | jq .", "All that is known of them, for a program."),
    Example("curl -s https://example.org/a.jpg | hashwacht hash -", "Hash what comes in."),
    json=True,
)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=bytes)
)
def hash_command(files: Sequence[bytes]) -> ExitCode:
    """Print the signals of files: digests, and picture hashes with their quality.

    No matcher is asked.  - is standard input.  The exit code is 3 if a file could not be read,
    or lacks a hash that its kind should have.
    """
    from hashwacht import bootstrap
    from hashwacht.core.signals import BUILT_IN

    call = global_options()
    settings = call.configuration().settings
    fingerprinter = bootstrap.fingerprinter(settings, BUILT_IN)
    try:
        missing = [
            _print(name, fingerprint, as_json=call.as_json)
            for name, fingerprint in _fingerprints(fingerprinter, files, as_json=call.as_json)
        ]
    finally:
        fingerprinter.close()
    return ExitCode.OK if len(missing) == len(files) and not any(missing) else ExitCode.UNDETERMINED


def _fingerprints(
    fingerprinter: Fingerprinter, files: Sequence[bytes], *, as_json: bool
) -> Iterator[tuple[bytes, Fingerprint]]:
    """Take the files one by one; one that cannot be read is told and left out."""
    for name in files:
        try:
            with open_input(name) as fd:
                yield name, fingerprinter.fingerprint(fd)
        except OSError as error:
            why = error.strerror or "cannot be read"
            if as_json:
                emit("unreadable", {**to_json(display_name(name)), "detail": why}, to=sys.stderr)
            else:
                line(f"hashwacht: {escape_path(display_name(name))}: {why}", to=sys.stderr)


def _print(name: bytes, found: Fingerprint, *, as_json: bool) -> bool:
    """Print one file; True if a hash is missing that should be there."""
    missing = [skip for skip in found.skipped if skip.reason.undetermined]
    if as_json:
        emit("fingerprint", {**to_json(display_name(name)), **_fields(found)})
    else:
        for text in _lines(found):
            line(f"{text}  {escape_path(display_name(name))}")
    return bool(missing)


def _lines(found: Fingerprint) -> Iterator[str]:
    if not any(signal.type == "sha256" for signal in found.signals):
        yield f"sha256:{found.key}"
    for signal in found.signals:
        notes = [signal.variant] if signal.variant else []
        if signal.quality is not None:
            notes.append(f"quality {signal.quality}{'' if signal.matchable else ', never asked'}")
        yield f"{signal}  ({', '.join(notes)})" if notes else str(signal)
    for skip in found.skipped:
        yield f"{skip.type}:-  ({_why(skip)})"


def _why(skip: Skip) -> str:
    return escape_text(f"{skip.reason}: {skip.detail}" if skip.detail else str(skip.reason))


def _fields(found: Fingerprint) -> dict[str, object]:
    return {
        "sha256": found.key,
        "size": found.size,
        "kind": found.kind,
        "damaged": found.damaged,
        "recipe": list(found.recipe),
        "signals": [signal_to_json(signal) for signal in found.signals],
        "skipped": [
            {"type": skip.type, "reason": skip.reason, "detail": skip.detail}
            for skip in found.skipped
        ],
    }
