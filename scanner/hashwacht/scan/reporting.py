"""Filling the report of a run from the state: what a resumed run found earlier is there too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hashwacht import __version__
from hashwacht.matching.matcher_set import Panel
from hashwacht.scan.progress import Result
from hashwacht.scan.report import MAX_ROWS, KindRow, Report, RunFacts
from hashwacht.scan.tally import Tally
from hashwacht.storage.runs import Run
from hashwacht.storage.store import Store
from hashwacht.core.types import Outcome, Verdict
from hashwacht.core.verdict import judge


def report_of(store: Store, panel: Panel, run: Run, recipe: tuple[str, ...]) -> Report:
    """Draw up the report of a run that has ended.  Reads the state, asks nobody."""
    tally = Tally.loads(run.tally)
    results = list(notable(store, panel, run.roots))
    return Report(
        run=RunFacts(
            id=str(run.id),
            state=run.state,
            roots=run.roots,
            started_at=run.started,
            finished_at=run.finished,
            elapsed=tally.elapsed,
            version=__version__,
            resumed=tally.resumed,
            recipe=recipe,
        ),
        counts=tally.counts(),
        verdicts=tally.verdicts(),
        reasons=tally.reasons_given(),
        kinds=_kinds(store, run.roots),
        throughput=tally.throughput(),
        directories=tally.directory_rows(),
        matchers=tally.matcher_rows({s.matcher.name: s.matcher.revision for s in panel.seats}),
        matches=_with(results, Outcome.MATCH),
        suppressed=tuple(each for each in results if each.verdict.suppressed),
        undetermined=_with(results, Outcome.UNDETERMINED),
    )


def _with(results: Iterable[Result], outcome: Outcome) -> tuple[Result, ...]:
    return tuple(each for each in results if each.verdict.outcome is outcome)


def _kinds(store: Store, roots: Iterable[bytes]) -> tuple[KindRow, ...]:
    """Count the files below the roots by what they are, the most frequent first."""
    rows = [KindRow(*row) for root in roots for row in store.overview.kinds(root)]
    return tuple(sorted(rows, key=lambda row: -row.files))


def notable(store: Store, panel: Panel, roots: Iterable[bytes]) -> Iterator[Result]:
    """Give every file below the roots that somebody wants to know of, as it is known now."""
    accepted = panel.accepts
    configured = {seat.matcher.name for seat in panel.seats}
    for root in roots:
        for seen in store.overview.notable(root, MAX_ROWS):
            if seen.content is None:
                verdict = Verdict(Outcome.UNDETERMINED, reason=seen.reason)
                yield Result((seen.path,), verdict)
                continue
            content = store.contents.load([seen.content])[seen.content]
            answers = [each for each in content.answers if each.matcher in configured]
            fingerprint = content.fingerprint
            verdict = judge(fingerprint, answers, accepted)
            yield Result((seen.path,), verdict, fingerprint.kind, fingerprint.size, fingerprint.key)
