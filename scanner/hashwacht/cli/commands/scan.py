"""``hashwacht scan``: check every file below the given directories."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hashwacht import bootstrap
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import exclude_option, file_systems_option, global_options
from hashwacht.cli.render.csv_report import csv_path, write_csv
from hashwacht.cli.render.html_report import report_file, write_report
from hashwacht.cli.render.summary import print_profile
from hashwacht.cli.run_session import exit_code, observer, stop_on_signal
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.paths import escape_path
from hashwacht.platform.process import lower_priority
from hashwacht.scan.report import build_report, reportable_files
from hashwacht.scan.scan import ScanRequest, ScanRun
from hashwacht.settings import OptionValue, Settings
from hashwacht.storage.runs import RunState


@command(
    Example("hashwacht scan /srv/www", "Scan a directory, or resume its interrupted scan."),
    Example("hashwacht scan --report report.html /home", "Also write an HTML report."),
    Example(
        'hashwacht scan --exclude "*.log" --max-rate "20 MiB/s" /',
        "Exclude files and limit the read rate.",
    ),
    Example("hashwacht scan --json /srv | jq .", "Print every result as JSON."),
    json=True,
)
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@click.option("--full", is_flag=True, help="Also read unchanged files again.")
@click.option(
    "--restart",
    is_flag=True,
    help="Start from the beginning instead of resuming an interrupted scan.",
)
@exclude_option()
@file_systems_option()
@click.option(
    "--jobs", type=int, metavar="N", help="Number of worker processes.  [default: one per core]"
)
@click.option(
    "--max-rate", metavar="RATE", help='Limit the rate, such as "200 files/s" or "20 MiB/s".'
)
@click.option(
    "--normal-priority",
    "foreground",
    is_flag=True,
    help="Run at normal CPU and I/O priority instead of the lowest.",
)
@click.option("--profile", is_flag=True, help="Print how long each step took.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write an HTML report with figures and charts, without any picture, and beside it FILE.csv"
    " with a row for each file.",
)
def scan_command(
    *,
    paths: tuple[Path, ...],
    full: bool,
    restart: bool,
    exclude: tuple[str, ...],
    file_systems: str | None,
    jobs: int | None,
    max_rate: str | None,
    foreground: bool,
    profile: bool,
    report: Path | None,
) -> ExitCode:
    """Scan existing storage against the configured matchers.

    Files that have not changed since the last scan are not read again.  The scan does not modify
    the scanned directories or follow symbolic links.  Local file systems below them are part of
    the scan; what is left out is named.  A scan that sees no file ends with exit code 2.  Only
    hashes are sent to matching services.
    """
    call = global_options()
    options = (
        ("scan.jobs", jobs, "--jobs"),
        ("scan.max_rate", max_rate, "--max-rate"),
        ("scan.file_systems", file_systems, "--one-file-system or --all-file-systems"),
        ("scan.low_priority", False if foreground else None, "--normal-priority"),
    )
    overrides = [OptionValue(*option) for option in options if option[1] is not None]
    settings = call.configuration(*overrides).settings
    request = ScanRequest(
        roots=_roots(paths),
        rules=bootstrap.exclusion_rules(settings, exclude),
        scope=settings.scan.file_systems,
        full=full,
        restart=restart,
        jobs=bootstrap.jobs(settings),
        rate=settings.scan.max_rate,
        reread_interval=settings.scan.reread_interval,
    )
    return _run(settings, request, report, as_json=call.as_json, profile=profile)


def _roots(paths: tuple[Path, ...]) -> tuple[bytes, ...]:
    """Resolve the paths before the run starts; a run without a root could not be resumed."""
    for path in paths:
        if not path.exists():
            message = f"no such file or directory: {escape_path(bytes(path))}"
            raise UsageError(message, advice="Check the path.")
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
        with observer(as_json=as_json) as progress:
            scan = ScanRun(
                store=store, pipeline=pipeline, request=request, observer=progress, stop=stop
            )
            summary = scan.run()
        if profile:
            print_profile(scan.timings, as_json=as_json)
        if target:
            run = store.runs.load_latest(1)[0]
            recipe = pipeline.fingerprinter.recipe
            write_report(build_report(store, pipeline.matcher_set, run, recipe), target)
            write_csv(reportable_files(store, pipeline.matcher_set, run.roots), csv_path(target))
    if summary.state is RunState.FINISHED and not (summary.counts.files or summary.counts.errors):
        raise UsageError(
            "the scan saw no file",
            advice="Check what is mounted there, and the rules with `hashwacht explain`.",
        )
    return exit_code(summary)
