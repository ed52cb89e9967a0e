"""``hashwacht compare``: how near two pictures are by every hash, and which of them decides."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import display_name, fingerprint_input, global_options
from hashwacht.cli.output import print_result
from hashwacht.cli.render.comparison_text import comparison_fields, comparison_lines
from hashwacht.core.errors import ExitCode
from hashwacht.core.types import Fingerprint

_FILE = click.Path(path_type=bytes)


@command(
    Example("hashwacht compare known.jpg found.png", "Show why they match, or do not."),
    Example("hashwacht compare --json a.jpg b.jpg | jq .decides", "Print the hash that decides."),
    json=True,
)
@click.argument("listed", metavar="LISTED", type=_FILE)
@click.argument("found", metavar="FOUND", type=_FILE)
def compare_command(listed: bytes, found: bytes) -> ExitCode:
    """Show how near two pictures are, and which hash decides whether they match.

    The question is whether a list that contains LISTED finds FOUND: LISTED is hashed as it is
    stored; FOUND also rotated, mirrored, without a border and so on, as a scan hashes it.  The
    distances up to which a hash matches are the defaults of an import and of [matchers.NAME]
    views.  No matcher is queried.  The exit code is 1 if they match, 3 if a hash is missing, else
    0.
    """
    from hashwacht import bootstrap
    from hashwacht.core.signals import BUILT_IN
    from hashwacht.matching.comparison import compare
    from hashwacht.matching.hashlists.manifest import DEFAULT_RADII

    settings = global_options().configuration().settings
    with closing(bootstrap.fingerprinter(settings, BUILT_IN)) as fingerprinter:
        known, unknown = (fingerprint_input(fingerprinter, name) for name in (listed, found))
    distances = compare(known, unknown, DEFAULT_RADII, bootstrap.list_view_radii(settings))
    paths = display_name(listed), display_name(found)
    lines = comparison_lines(paths, (known, unknown), distances)
    print_result("comparison", comparison_fields(paths, (known, unknown), distances), *lines)
    matches = known.key == unknown.key or any(distance.matches for distance in distances)
    return _exit_code((known, unknown), matches=matches)


def _exit_code(fingerprints: Sequence[Fingerprint], *, matches: bool) -> ExitCode:
    if matches:
        return ExitCode.MATCH
    skips = [skip for fingerprint in fingerprints for skip in fingerprint.skipped]
    incomplete = any(skip.reason.undetermined for skip in skips)
    return ExitCode.UNDETERMINED if incomplete else ExitCode.OK
