"""The live display on a terminal, drawn by rich."""

from __future__ import annotations

from typing import IO, Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hashwacht.cli.output import line
from hashwacht.cli.render.findings import has_own_line, result_lines
from hashwacht.cli.render.summary import started_line, summary_lines
from hashwacht.core.paths import escape_path
from hashwacht.core.text import count, format_duration, format_size, percentage
from hashwacht.scan.progress import Progress, RunCounts, ScanResult, Summary

STYLES = {"match": "bold red", "undetermined": "yellow", "suppressed": "cyan"}


def can_be_live(stream: IO[str]) -> bool:
    """Return whether the terminal can move its cursor."""
    console = Console(file=stream)
    return console.is_terminal and not console.is_dumb_terminal


class LiveDisplay:
    """Keeps a few lines at the bottom of the terminal up to date, results scroll by above."""

    def __init__(self, results: IO[str], terminal: IO[str]) -> None:
        """Draw on *terminal*; results go there too if *results* is a terminal as well."""
        self._results = results
        self._same_screen = results.isatty()
        self._console = Console(file=terminal, highlight=False, markup=False, emoji=False)
        self._spinner = Spinner("dots")
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Print that the run starts."""
        self._above(started_line(run, roots, resumed=resumed))
        self._live.start()

    def progress(self, snapshot: Progress) -> None:
        """Draw the progress."""
        self._live.update(self._drawn(snapshot), refresh=True)

    def result(self, result: ScanResult) -> None:
        """Let what was found scroll by above the display."""
        for text in result_lines(result) if has_own_line(result) else ():
            if self._same_screen:
                word = text.partition(" ")[0]
                self._above(text, STYLES.get(word, ""), word)
            else:
                line(text, to=self._results)
                self._results.flush()

    def finished(self, summary: Summary) -> None:
        """Take the display away and say how it ended."""
        self._live.stop()
        for text in summary_lines(summary):
            line(text, to=self._results)

    def _above(self, text: str, style: str = "", word: str = "") -> None:
        styled = Text(text)
        styled.stylize(style, 0, len(word))
        self._console.print(styled, soft_wrap=True)

    def _drawn(self, now: Progress) -> RenderableType:
        table = Table.grid(padding=(0, 2), expand=False)
        for _ in range(6):
            table.add_column(no_wrap=True)
        _add_rows(table, now)
        self._spinner.update(text=Text(f"{now.phase} for {format_duration(now.elapsed)}"))
        where = escape_path(now.directory) if now.directory else ""
        parts: list[RenderableType] = [
            self._spinner,
            table,
            Text(f"  {_shortened(where, self._console.width - 4)}", style="dim"),
        ]
        if now.expected:
            parts.append(_bar(now, now.expected))
        return Group(*parts)


def _add_rows(table: Table, now: Progress) -> None:
    counts = now.counts
    table.add_row(
        *("  files", _figure(count(counts.files)), f"{count(now.files_rate)}/s"),
        *("read", count(counts.read), format_size(counts.read_bytes)),
    )
    table.add_row(
        *("  bytes", _figure(format_size(counts.bytes)), f"{format_size(now.bytes_rate)}/s"),
        *("unchanged", count(counts.unchanged), ""),
    )
    table.add_row(
        *("  matches", _found(counts), ""),
        *("undetermined", _alert(counts.undetermined, "yellow"), _errors(counts)),
    )


def _figure(text: str) -> Text:
    return Text(text, style="bold")


def _found(counts: RunCounts) -> Text:
    found = _alert(counts.matches, "bold red")
    if counts.suppressed:
        found.append(f" ({count(counts.suppressed)} suppressed)", style="cyan")
    return found


def _alert(number: int, style: str) -> Text:
    return Text(count(number), style=style if number else "")


def _errors(counts: RunCounts) -> str:
    return f"{count(counts.errors)} unlistable directories" if counts.errors else ""


def _bar(now: Progress, expected: int) -> RenderableType:
    """Draw how far it is by the previous run's count, which is a guess and said to be one."""
    done = min(now.counts.files, expected)
    left = (
        f"about {format_duration(now.remaining)} left"
        if now.remaining is not None
        else "almost done"
    )
    row = Table.grid(padding=(0, 2))
    row.add_row(
        " ", ProgressBar(total=expected, completed=done, width=40), percentage(done, expected), left
    )
    return row


def _shortened(text: str, width: int) -> str:
    """Keep the end of a long path, its more informative part."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 1:
        text = text[max(1, (cell_len(text) - width) // 2) :]
    return set_cell_size(f"…{text}", width)
