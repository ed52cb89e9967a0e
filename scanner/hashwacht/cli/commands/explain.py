"""``hashwacht explain``: whether paths would be scanned, and which rule decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import exclude_option, file_systems_option, global_options
from hashwacht.cli.output import print_result
from hashwacht.core.paths import escape_path, to_json
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.settings import Configuration
from hashwacht.walk.explain import Explanation


@command(
    Example("hashwacht explain /srv/www/x/cache/a.jpg", "Show whether the file would be scanned."),
    Example(
        "hashwacht explain --root /srv /srv/www/x/a.jpg",
        "Assume a scan of /srv: mounts and excluded directories in between count.",
    ),
    Example("hashwacht explain --exclude 'cache/' /srv/x/cache", "Try a rule."),
    json=True,
)
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=bytes)
)
@click.option(
    "--root",
    type=click.Path(path_type=bytes),
    metavar="PATH",
    help="Assume a scan of this directory.  [default: the path itself]",
)
@exclude_option()
@file_systems_option()
def explain_command(
    *,
    paths: Sequence[bytes],
    root: bytes | None,
    exclude: Sequence[str],
    file_systems: str | None,
) -> None:
    """Show whether paths would be scanned, and which rule decides.

    No file is opened.  For a path that would not be scanned, prints the rule, where the rule is
    defined, and the parent directory that it excludes.
    """
    from hashwacht import bootstrap
    from hashwacht.walk.explain import explain

    configuration = global_options().configuration()
    settings = configuration.settings
    rules = bootstrap.exclusion_rules(settings, exclude, _source(configuration))
    for path in paths:
        explanation = explain(
            path,
            rules,
            root=root,
            scope=FileSystemScope(file_systems or settings.scan.file_systems),
        )
        print_result("explanation", _fields(explanation), *_lines(explanation))


def _source(configuration: Configuration) -> str:
    """Return the name and key of the configured rules, to which a rule's index is added."""
    name = configuration.origin(("scan", "exclude")).name
    return f"{name}, scan.exclude" if name else "scan.exclude"


def _lines(explanation: Explanation) -> Iterator[str]:
    word = "scanned" if explanation.scanned else "not scanned"
    rule = f": {explanation.rule}" if explanation.rule else ""
    at = f", at {escape_path(explanation.at)}" if explanation.at != explanation.path else ""
    yield f"{word:13}{escape_path(explanation.path)}"
    yield f"{'':13}{explanation.reason}{rule}{at}"


def _fields(explanation: Explanation) -> dict[str, object]:
    rule = explanation.rule
    return {
        **to_json(explanation.path),
        "scanned": explanation.scanned,
        "why": explanation.reason,
        "at": to_json(explanation.at),
        "rule": {"pattern": rule.text, "source": rule.source, "line": rule.line} if rule else None,
    }
