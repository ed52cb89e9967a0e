"""``hashwacht scan``: every file below some directories gets an honest answer."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hashwacht import bootstrap
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.render.html_report import report_file, write_report
from hashwacht.cli.render.progress_lines import observer
from hashwacht.cli.render.summary import print_profile
from hashwacht.cli.signals import exit_code, stop_on_signal
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.paths import escape_path
from hashwacht.platform.process import lower_priority
from hashwacht.scan.report import build_report
from hashwacht.scan.scan import ScanRequest, ScanRun
from hashwacht.settings import OptionValue, Settings


@command(
    Example("hashwacht scan /srv/www", "Scan a tree; an interrupted scan goes on where it was."),
    Example("hashwacht scan --report report.html /home", "Draw the figures on a page as well."),
    Example('hashwacht scan --exclude "*.log" --max-rate "20 MiB/s" /', "Leave out, go slowly."),
    Example("hashwacht scan --json /srv | jq .", "Give every finding to a program."),
    json=True,
)
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@click.option("--full", is_flag=True, help="Read unchanged files again as well.")
@click.option("--restart", is_flag=True, help="Begin anew where an interrupted scan would go on.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out, as in .gitignore; !PATTERN takes back.",
)
@click.option("--all-file-systems", is_flag=True, help="Enter other file systems below PATH too.")
@click.option("--jobs", type=int, metavar="N", help="Worker processes. [default: one per core]")
@click.option("--max-rate", metavar="RATE", help='"200 files/s" or "20 MiB/s" at the most.')
@click.option(
    "--normal-priority",
    "foreground",
    is_flag=True,
    help="Run at normal priority instead of the lowest.",
)
@click.option("--profile", is_flag=True, help="Tell at the end where the time went.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with figures and charts, without any picture.",
)
def scan_command(
    *,
    paths: tuple[Path, ...],
    full: bool,
    restart: bool,
    exclude: tuple[str, ...],
    all_file_systems: bool,
    jobs: int | None,
    max_rate: str | None,
    foreground: bool,
    profile: bool,
    report: Path | None,
) -> ExitCode:
    """Scan existing storage against the configured matchers.

    Unchanged files cost one look and are not read again.  Nothing is changed in the scanned
    directories, links are not followed, and no content leaves this machine: matchers are asked
    with hashes only.
    """
    call = global_options()
    options = (
        ("scan.jobs", jobs, "--jobs"),
        ("scan.max_rate", max_rate, "--max-rate"),
        ("scan.one_file_system", False if all_file_systems else None, "--all-file-systems"),
        ("scan.low_priority", False if foreground else None, "--normal-priority"),
    )
    given = [OptionValue(*option) for option in options if option[1] is not None]
    settings = call.configuration(*given).settings
    request = ScanRequest(
        roots=_roots(paths),
        rules=bootstrap.exclusion_rules(settings, exclude),
        one_file_system=settings.scan.one_file_system,
        full=full,
        restart=restart,
        jobs=bootstrap.jobs(settings),
        rate=settings.scan.max_rate,
    )
    return _run(settings, request, report, as_json=call.as_json, profile=profile)


def _roots(paths: tuple[Path, ...]) -> tuple[bytes, ...]:
    """Resolve what was named, before a run begins: there would be nothing to go on with later."""
    for path in paths:
        if not path.exists():
            message = f"there is no {escape_path(bytes(path))}"
            raise UsageError(message, advice="Check how it is written.")
    return tuple(dict.fromkeys(bytes(path.resolve()) for path in paths))


def _run(
    settings: Settings,
    request: ScanRequest,
    report: Path | None,
    *,
    as_json: bool,
    profile: bool,
) -> ExitCode:
    target = report_file(report) if report else None
    if settings.scan.low_priority:
        lower_priority()
    with (
        bootstrap.store(settings) as store,
        bootstrap.pipeline(settings, os.environ, store.crash_log) as pipeline,
        stop_on_signal() as stop,
    ):
        with observer(as_json=as_json) as watching:
            scan = ScanRun(
                store=store, pipeline=pipeline, request=request, observer=watching, stop=stop
            )
            summary = scan.run()
        if profile:
            print_profile(scan.timings, as_json=as_json)
        if target:
            run = store.runs.load_latest(1)[0]
            recipe = pipeline.fingerprinter.recipe
            write_report(build_report(store, pipeline.matcher_set, run, recipe), target)
    return exit_code(summary)
