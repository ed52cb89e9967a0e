"""``hashwacht recheck``: look up stored fingerprints again; no file is read."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from hashwacht import bootstrap
from hashwacht.cases.case_rendering import upload_to_json
from hashwacht.cli.case_session import invoking_user
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.cli.render.case_text import upload_line
from hashwacht.cli.run_session import exit_code, observer, stop_on_signal
from hashwacht.core.errors import ExitCode
from hashwacht.core.types import Outcome
from hashwacht.platform.process import lower_priority
from hashwacht.scan.progress import Observer, Progress, ScanResult, Summary
from hashwacht.scan.recheck_run import Recheck
from hashwacht.storage.uploads import UploadRecords


@command(
    Example("hashwacht recheck", "Recheck after importing a list, or nightly from a timer."),
    Example("hashwacht recheck --json", "Print every match as JSON."),
    json=True,
)
def recheck_command() -> ExitCode:
    """Look up stored fingerprints again; no file is read.

    Queries undetermined fingerprints, answers older than recheck_after of the matcher, and
    everything that a new hash list or matcher has not seen yet.  The scanned file systems may be
    unmounted.  A new match is printed with the paths that contained the content at the last scan,
    and with the recorded details of uploads, for which a case is opened.
    """
    call = global_options()
    settings = call.configuration().settings
    if settings.scan.low_priority:
        lower_priority()
    with (
        bootstrap.store(settings) as store,
        bootstrap.matcher_set(settings, os.environ) as matchers,
        stop_on_signal() as stop,
        observer(as_json=call.as_json) as progress,
    ):
        reporter = UploadContextObserver(progress, store.uploads, call.as_json)
        summary = Recheck(store=store, matcher_set=matchers, observer=reporter, stop=stop).run()
        bootstrap.case_services(settings, store, invoking_user()).upload_cases().open_all()
        store.uploads.prune(time.time(), bootstrap.upload_quota(settings))
        contexts = reporter.context_lines()
    for text in contexts:
        line(text)
    return exit_code(summary)


@dataclass
class UploadContextObserver:
    """Adds the uploads of matching contents: as JSON at once, as text in ``context_lines``."""

    inner: Observer
    uploads: UploadRecords
    as_json: bool
    keys: list[str] = field(default_factory=list)

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Forward to the inner observer."""
        self.inner.started(run, roots, resumed=resumed)

    def progress(self, snapshot: Progress) -> None:
        """Forward to the inner observer."""
        self.inner.progress(snapshot)

    def result(self, result: ScanResult) -> None:
        """Forward the result, and add the uploads of its content."""
        self.inner.result(result)
        if result.verdict.outcome is not Outcome.MATCH:
            return
        contexts = self.uploads.load(result.key)
        if contexts and not self.as_json:
            self.keys.append(result.key)
        for context in contexts if self.as_json else ():
            emit("upload", {"sha256": result.key, **upload_to_json(context)})

    def finished(self, summary: Summary) -> None:
        """Forward to the inner observer."""
        self.inner.finished(summary)

    def context_lines(self) -> list[str]:
        """Return the uploads as text, to print after a live display has ended."""
        return [
            upload_line(key, context) for key in self.keys for context in self.uploads.load(key)
        ]
