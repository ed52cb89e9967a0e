"""``hashwacht explain``: would this path be scanned, and which rule decides it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text
from hashwacht.settings import Configuration
from hashwacht.walk.explain import Explanation


@command(
    Example("hashwacht explain /srv/www/x/cache/a.jpg", "Say whether it would be scanned."),
    Example(
        "hashwacht explain --root /srv /srv/www/x/a.jpg",
        "The same for a scan of /srv: mounts and excluded directories on the way count.",
    ),
    Example("hashwacht explain --exclude 'cache/' /srv/x/cache", "Try out a rule."),
    json=True,
)
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=bytes)
)
@click.option(
    "--root",
    type=click.Path(path_type=bytes),
    metavar="PATH",
    help="The directory that the scan begins at; without it, at the path itself.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out, as in .gitignore; !PATTERN takes back.",
)
@click.option("--all-file-systems", is_flag=True, help="Enter other file systems below it too.")
def explain_command(
    *,
    paths: Sequence[bytes],
    root: bytes | None,
    exclude: Sequence[str],
    all_file_systems: bool,
) -> None:
    """Show whether paths would be scanned, and which rule decides.

    Nothing is opened.  A path that would not be scanned is told with the rule, where it is
    written, and the directory above the path at which it was decided.
    """
    from hashwacht import bootstrap
    from hashwacht.walk.explain import explain

    call = global_options()
    configuration = call.configuration()
    settings = configuration.settings
    rules = bootstrap.exclusion_rules(settings, exclude, _source(configuration))
    for path in paths:
        found = explain(
            path,
            rules,
            root=root,
            one_file_system=settings.scan.one_file_system and not all_file_systems,
        )
        if call.as_json:
            emit("explanation", _fields(found))
        else:
            line(_text(found))


def _source(configuration: Configuration) -> str:
    """Return where the configured rules are, for use with a rule's number in the array."""
    name = configuration.origin(("scan", "exclude")).name
    return f"{name}, scan.exclude" if name else "scan.exclude"


def _text(found: Explanation) -> str:
    word = "scanned" if found.scanned else "not scanned"
    rule = escape_text(f": {found.rule}") if found.rule else ""
    where = f", at {escape_path(found.at)}" if found.at != found.path else ""
    return f"{word:13}{escape_path(found.path)}\n{'':13}{found.reason}{rule}{where}"


def _fields(found: Explanation) -> dict[str, object]:
    rule = found.rule
    told = {"pattern": rule.text, "source": rule.source, "line": rule.line} if rule else None
    return {
        **to_json(found.path),
        "scanned": found.scanned,
        "why": found.reason,
        "at": to_json(found.at),
        "rule": told,
    }
