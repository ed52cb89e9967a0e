"""The progress, the summary and the timings of a run, as text and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from hashwacht.cli.output import emit, line
from hashwacht.cli.render.findings import MEANING
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import count, escape_text, format_duration, format_size, plural
from hashwacht.scan.progress import Progress, Summary
from hashwacht.scan.tally import Timings
from hashwacht.storage.runs import RunState


def print_profile(timings: Timings, *, as_json: bool) -> None:
    """Print the time of each step on standard error, or one JSON object."""
    rows = timings.rows()
    if as_json:
        parts = [{"part": part, "kind": kind, "seconds": round(s, 6)} for part, kind, s in rows]
        emit("profile", {"parts": parts})
        return
    line("Time by step (sum of all threads, including waiting):", to=sys.stderr)
    for part, kind, seconds in rows:
        of = f" of {escape_text(kind)}" if kind else ""
        line(f"  {format_duration(seconds):>8}  {part}{of}", to=sys.stderr)


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield the summary of a run, by verdict and reason."""
    counts = summary.counts
    yield (
        f"{summary.state} after {format_duration(summary.elapsed)}: {count(counts.files)} files"
        f" ({format_size(counts.bytes)}), {count(counts.read)} read"
        f" ({format_size(counts.read_bytes)}), {count(counts.unchanged)} unchanged"
    )
    no_match = counts.files - counts.matches - counts.undetermined - counts.accepted
    lists = _largest_first(summary.lists)
    new = f"{count(counts.new_matches)} new; " if counts.matches else ""
    yield _row("match", counts.matches, f"{new}{lists}")
    yield _row("no match", no_match)
    reasons = {str(reason): number for reason, number in summary.reasons.items()}
    yield _row("undetermined", counts.undetermined, _largest_first(reasons))
    yield from _explanations(summary)
    if counts.accepted:
        yield _row("accepted", counts.accepted, "undetermined; see `hashwacht undetermined list`")
    if counts.suppressed:
        yield _row("suppressed", counts.suppressed, "suppressed by a known-good list")
    if counts.errors:
        yield _row("unlistable", counts.errors, "directories that could not be listed")
    if counts.excluded:
        yield _row("excluded", counts.excluded, "by rule")
    if counts.left_out:
        yield _row("left out", counts.left_out, "file systems that are not part of this scan")
        for path, detail in summary.left_out.items():
            yield f"{'':19}{escape_path(path)}: {detail}"
        if counts.left_out > len(summary.left_out):
            yield f"{'':19}and {count(counts.left_out - len(summary.left_out))} more"
    if summary.state is not RunState.FINISHED:
        yield f"Run the same command again to resume run {summary.run}."


def _explanations(summary: Summary) -> Iterator[str]:
    """Yield what each reason means, and why matchers gave no answer."""
    for reason in summary.reasons:
        yield f"{'':19}{reason}: {MEANING[reason]}"
    for fault, number in summary.faults.items():
        yield f"{'':19}{escape_text(fault)}: {plural(number, 'file')}"


def _row(name: str, number: int, remark: str = "") -> str:
    return f"  {name:14}{count(number):>14}   {remark}".rstrip()


def _largest_first(parts: Mapping[str, int]) -> str:
    largest = sorted(parts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{escape_text(part)} {count(many)}" for part, many in largest)


def summary_fields(summary: Summary) -> dict[str, object]:
    """Return the fields of the JSON object."""
    return {
        "run": summary.run,
        "state": summary.state,
        "elapsed_seconds": round(summary.elapsed, 3),
        "counts": asdict(summary.counts),
        "reasons": {str(reason): number for reason, number in summary.reasons.items()},
        "lists": dict(summary.lists),
        "left_out": [to_json(path) | {"why": why} for path, why in summary.left_out.items()],
        "faults": dict(summary.faults),
    }


def progress_line(now: Progress) -> str:
    """Return the progress of a run in one line for a log."""
    counts = now.counts
    left = f", about {format_duration(now.remaining)} left" if now.remaining is not None else ""
    where = f", in {escape_path(now.directory)}" if now.directory else ""
    return (
        f"{now.phase} for {format_duration(now.elapsed)}: {count(counts.files)} files"
        f" ({format_size(counts.bytes)}),"
        f" {count(now.files_rate)} files/s, {format_size(now.bytes_rate)}/s,"
        f" {count(counts.matches)} matches, {count(counts.undetermined)} undetermined{left}{where}"
    )


def progress_fields(now: Progress) -> dict[str, object]:
    """Return the fields of the JSON object; null where the value is unknown."""
    return {
        "phase": now.phase,
        "elapsed_seconds": round(now.elapsed, 3),
        "files_per_second": round(now.files_rate, 3),
        "bytes_per_second": round(now.bytes_rate, 3),
        "expected": now.expected,
        "remaining_seconds": None if now.remaining is None else round(now.remaining, 1),
        "directory": to_json(now.directory) if now.directory else None,
        "counts": asdict(now.counts),
    }


def started_line(run: str, roots: tuple[bytes, ...], *, resumed: bool) -> str:
    """Return the line that announces a new or resumed run and its roots."""
    over = ", ".join(escape_path(root) for root in roots)
    return f"run {run} {'resumed' if resumed else 'started'}" + (f": {over}" if over else "")
