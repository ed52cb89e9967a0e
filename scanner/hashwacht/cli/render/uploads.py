"""What requests told about uploads that match late, told with the match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hashwacht.cases.case_json import upload_to_json
from hashwacht.cli.render.findings import WORD_WIDTH
from hashwacht.cli.output import emit, harmless, line
from hashwacht.scan.progress import Observer, Progress, Result, Summary
from hashwacht.core.types import Outcome
from hashwacht.uploads.context import Circumstances, Uploads


@dataclass
class WithUploads:
    """An observer that adds who uploaded what matches: as JSON at once, as text by ``tell``."""

    inner: Observer
    uploads: Uploads
    as_json: bool
    keys: list[str] = field(default_factory=list)

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Pass it on."""
        self.inner.started(run, roots, resumed=resumed)

    def progress(self, snapshot: Progress) -> None:
        """Pass it on."""
        self.inner.progress(snapshot)

    def result(self, result: Result) -> None:
        """Pass it on, and what requests told."""
        self.inner.result(result)
        if result.verdict.outcome is not Outcome.MATCH:
            return
        found = self.uploads.of(result.key)
        if found and not self.as_json:
            self.keys.append(result.key)
        for told in found if self.as_json else ():
            emit("upload", {"sha256": result.key, **upload_to_json(told)})

    def finished(self, summary: Summary) -> None:
        """Pass it on."""
        self.inner.finished(summary)

    def tell(self) -> None:
        """Print it for people, when the display is over."""
        for key in self.keys:
            for told in self.uploads.of(key):
                line(told_line(key, told))


def told_line(key: str, told: Circumstances) -> str:
    """Say what a request told about an upload of the content *key*."""
    return f"{'uploaded':{WORD_WIDTH}}{harmless(', '.join(_parts(told)))}  (content {key})"


def _parts(told: Circumstances) -> Iterator[str]:
    """Say it in words, what a client chose last."""
    port = f" port {told.port}" if told.port is not None else ""
    yield f"{told.received_at} from {told.address or 'an unknown address'}{port}"
    if told.user:
        yield f"user {told.user}"
    yield f"to {told.path!a}"
    if told.file_name:
        yield f"as {told.file_name!a}"
    if told.declared_type:
        yield f"declared {told.declared_type!a}"
