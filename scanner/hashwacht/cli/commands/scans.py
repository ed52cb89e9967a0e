"""``hashwacht scans``: which runs there were, how far they came, and how they ended."""

from __future__ import annotations

from dataclasses import asdict

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import count, format_duration, format_size, format_time, plural
from hashwacht.scan.progress import RunCounts
from hashwacht.storage.runs import Run, RunState


@command(
    Example("hashwacht scans", "List the latest runs, newest first."),
    Example("hashwacht scans --json | jq 'select(.state == \"interrupted\")'", "For a program."),
    json=True,
)
@click.option("-n", "--number", type=click.IntRange(1), default=20, help="How many; default 20.")
def scans_command(number: int) -> None:
    """List scans and rechecks with state and figures.

    An interrupted one goes on where it was when the same command is given again.
    """
    from hashwacht import bootstrap
    from hashwacht.scan.tally import Tally
    from hashwacht.storage.store import FILE_NAME

    call = global_options()
    settings = call.configuration().settings
    runs: list[Run] = []
    if (settings.state.path / FILE_NAME).exists():
        with bootstrap.store(settings) as store:
            runs = store.runs.load_latest(number)
    for run in runs:
        tally = Tally.loads(run.tally)
        if call.as_json:
            emit("run", _fields(run, tally.counts(), tally.elapsed))
        else:
            line(_text(run, tally.counts(), tally.elapsed))
    if not runs and not call.as_json:
        line("No scan yet: begin with `hashwacht scan PATH`.")


def _text(run: Run, counts: RunCounts, elapsed: float) -> str:
    roots = ", ".join(escape_path(root) for root in run.roots) or "stored fingerprints"
    ended = f", ended {format_time(run.finished)}" if run.finished else ""
    resume = "; the same command resumes it" if run.state is RunState.INTERRUPTED else ""
    return (
        f"{run.id:>5}  {run.kind}  {run.state}{resume}  {roots}\n"
        f"{'':7}begun {format_time(run.started)}{ended}, {format_duration(elapsed)} of work\n"
        f"{'':7}{plural(counts.files, 'file')} ({format_size(counts.bytes)}),"
        f" {plural(counts.matches, 'match', 'matches')},"
        f" {count(counts.undetermined)} undetermined"
    )


def _fields(run: Run, counts: RunCounts, elapsed: float) -> dict[str, object]:
    return {
        "run": str(run.id),
        "kind": run.kind,
        "state": run.state,
        "roots": [to_json(root) for root in run.roots],
        "started_at": run.started,
        "updated_at": run.updated,
        "finished_at": run.finished,
        "elapsed_seconds": round(elapsed, 3),
        "counts": asdict(counts),
    }
