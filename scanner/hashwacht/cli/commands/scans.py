"""``hashwacht scans``: list scans and rechecks, running and past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from hashwacht.cli.case_session import existing_store
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import number_option
from hashwacht.cli.output import print_cut, print_result, print_text
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import count, format_duration, format_size, format_time, plural
from hashwacht.scan.tally import Tally
from hashwacht.storage.runs import Run, RunState


@command(
    Example("hashwacht scans", "List the latest runs, newest first."),
    Example(
        "hashwacht scans --json | jq 'select(.state == \"interrupted\")'",
        "List runs that can be resumed.",
    ),
    json=True,
)
@number_option(20, "runs")
def scans_command(number: int) -> None:
    """List scans and rechecks with state and figures.

    Run the command of an interrupted scan or recheck again to resume it.
    """
    with existing_store() as store:
        latest = [] if store is None else store.runs.load_latest(number + 1)
    runs = latest[:number]
    for run in runs:
        tally = Tally.loads(run.tally)
        print_result("run", _fields(run, tally), *_lines(run, tally))
    if not runs:
        print_text("No scans yet. Start one with `hashwacht scan PATH`.")
    if len(latest) > number:
        print_cut(number, "runs")


def _lines(run: Run, tally: Tally) -> Iterator[str]:
    roots = ", ".join(escape_path(root) for root in run.roots) or "stored fingerprints"
    ended = f", ended {format_time(run.finished)}" if run.finished else ""
    resume = "; run the same command to resume" if run.state is RunState.INTERRUPTED else ""
    counts = tally.counts()
    yield f"{run.id:>5}  {run.kind}  {run.state}{resume}  {roots}"
    yield (
        f"{'':7}started {format_time(run.started)}{ended}, duration"
        f" {format_duration(tally.elapsed)}"
    )
    yield (
        f"{'':7}{plural(counts.files, 'file')} ({format_size(counts.bytes)}),"
        f" {plural(counts.matches, 'match', 'matches')},"
        f" {count(counts.undetermined)} undetermined"
    )


def _fields(run: Run, tally: Tally) -> dict[str, object]:
    return {
        "run": str(run.id),
        "kind": run.kind,
        "state": run.state,
        "roots": [to_json(root) for root in run.roots],
        "started_at": run.started,
        "updated_at": run.updated,
        "finished_at": run.finished,
        "elapsed_seconds": round(tally.elapsed, 3),
        "counts": asdict(tally.counts()),
    }
