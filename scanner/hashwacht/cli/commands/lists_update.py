"""``hashwacht lists update``: new versions of the lists that have a source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from hashwacht import bootstrap
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.commands.lists_import import record_import
from hashwacht.cli.options import global_options
from hashwacht.cli.output import print_result, print_text
from hashwacht.cli.render.list_text import import_fields, import_lines
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.daemon.status.health import HealthFile, Stage
from hashwacht.settings import ListSourceSettings, Settings

if TYPE_CHECKING:
    from hashwacht.matching.hashlists.updates import Download, UpdateResult


@command(
    Example("hashwacht lists update", "Update all lists that have a source, [lists.NAME]."),
    Example("hashwacht lists update police", "Update one list."),
    Example("hashwacht lists update --due", "Update those whose interval has passed (the timer)."),
    json=True,
    name="update",
    exit_status={0: "all lists are up to date", 2: "a list could not be updated; the others were"},
)
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--due", is_flag=True, help="Leave out lists whose interval has not passed yet.")
@click.option("--no-recheck", is_flag=True, help="Do not look up stored fingerprints afterwards.")
def update(names: Sequence[str], due: bool, no_recheck: bool) -> ExitCode:
    """Bring lists up to date from the sources in the configuration.

    A source is a directory, an https address, which the courier fetches, or a program.  A list is
    imported completely or not at all, and only if its checksum, and its signature if one is
    configured, are right; otherwise the installed one stays.  Everything scanned so far is then
    looked up in what is new: by the daemon if it runs, else by this command.
    """
    from hashwacht.matching.hashlists.updates import ListUpdater

    settings = global_options().configuration().settings
    results = []
    with _download(settings) as download:
        updater = ListUpdater(bootstrap.hash_lists(settings), download)
        for source in _selected(settings, names):
            if due and not updater.is_due(source):
                continue
            results.append(updater.update(source))
            _report(settings, results[-1])
    if not results:
        print_text("No list is due." if due else "No list has a source: see [lists.NAME].")
    if any(result.imported for result in results) and not (no_recheck or _daemon_runs(settings)):
        from hashwacht.cli.commands.recheck import recheck_command

        click.get_current_context().invoke(recheck_command)
    return ExitCode.ERROR if any(result.error for result in results) else ExitCode.OK


def _selected(settings: Settings, names: Sequence[str]) -> list[ListSourceSettings]:
    sources = {source.name: source for source in settings.lists}
    if unknown := [name for name in names if name not in sources]:
        raise UsageError(
            f"the list {unknown[0]} has no source",
            advice=f"Configure [lists.{unknown[0]}]; sources: {', '.join(sources) or 'none'}.",
        )
    return [sources[name] for name in names] or [*sources.values()]


@contextmanager
def _download(settings: Settings) -> Iterator[Download]:
    """Yield what fetches lists with a url: the courier, or this process where none runs."""
    from hashwacht.matching.list_client import CourierDownload, download_parts

    socket = bootstrap.courier_socket(settings)
    if socket.exists() or not any(source.url for source in settings.lists):
        through_courier = CourierDownload(socket)
        try:
            yield through_courier
        finally:
            through_courier.close()
        return
    from hashwacht.courier.list_downloads import ListDownloads

    secrets = bootstrap.secret_sources(settings, os.environ)
    sources = {source.name: ListDownloads(source, secrets) for source in settings.lists}
    try:
        yield lambda name, role, most, target: download_parts(
            sources[name].fetch, name, role, most, target
        )
    finally:
        for source in sources.values():
            source.close()


def _report(settings: Settings, result: UpdateResult) -> None:
    if (error := result.error) is not None:
        fields = {"list": result.name, "error": error.message, "advice": error.advice}
        print_result("update-failed", fields, error.message, f"  {error.advice}")
    elif (imported := result.imported) is not None:
        record_import(settings, imported.list)
        print_result("imported", import_fields(imported), *import_lines(imported))
    else:
        print_result("unchanged", {"list": result.name}, f"{result.name}: nothing new")


def _daemon_runs(settings: Settings) -> bool:
    """Return whether a scanner runs, which rechecks automatically when a list changes."""
    try:
        health = HealthFile(settings.daemon.runtime_path).read()
    except OSError:
        return False
    return health is not None and health.stage is not Stage.STOPPED and not health.is_gone
