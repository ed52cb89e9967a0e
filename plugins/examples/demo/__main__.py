"""A demonstration of Hashwacht on a small storage of generated pictures: ``make demo``.

Every step is a command that an administrator could type: it is printed, then run.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from hashwacht.cli.app import root, run
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.output import line
from hashwacht.cli.render.findings import describe_distance, describe_reason
from hashwacht.core.errors import ExitCode, Interrupted, UsageError
from hashwacht.core.paths import escape_path
from hashwacht.core.types import Outcome, Verdict

NO_MATCH = Verdict(Outcome.NO_MATCH)


@command(
    Example("make demo", "Run the demo and remove everything it wrote."),
    Example("python -m demo --keep /tmp/demo", "Keep the storage and the state."),
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Make it in this new directory and leave it there.",
)
def demo_command(*, keep: Path | None) -> ExitCode:
    """Show the main job on harmless pictures: no account, no network.

    Paints a small storage, imports a hash list that knows some of it, scans it and explains
    every verdict; then imports another list and finds a match without reading a file again.
    At last the daemon watches a directory, seals away what comes in, and gives it back.
    """
    with _place(keep) as place:
        demo = Demo(place)
        written = demo.paint()
        demo.first_scan()
        demo.explain(written)
        demo.a_list_comes_later()
        demo.the_daemon()
    _what_next(keep)
    return ExitCode.OK


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    """Yield the directory of the demo, and remove it afterwards unless it is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="hashwacht-demo-") as made:
            yield Path(made)
        return
    try:
        keep.mkdir(parents=True)
    except FileExistsError:
        advice = "Name one that is not there yet."
        raise UsageError(f"{keep} is there already", advice=advice) from None
    yield keep


@dataclass(frozen=True, slots=True)
class Demo:
    """The steps, in one directory."""

    place: Path

    @property
    def storage(self) -> Path:
        """The pictures."""
        return self.place / "storage"

    def paint(self) -> Mapping[bytes, str]:
        """Write the storage and the lists, and return a description of every file."""
        from demo.sample_storage import good_list, known_list, later_list, write_storage

        _say("Painting a small storage of harmless pictures, and lists that know some of them.")
        self.storage.mkdir()
        written = write_storage(self.storage)
        for name, content in (
            ("police.csv", known_list()),
            ("known-good.txt", good_list()),
            ("later.txt", later_list()),
        ):
            (self.place / name).write_bytes(content)
        return written

    def first_scan(self) -> None:
        """Import the lists and scan."""
        _say("Two hash lists: one that knows pictures, one that knows what is harmless.")
        self._run("lists", "import", "police", str(self.place / "police.csv"))
        good = str(self.place / "known-good.txt")
        self._run("lists", "import", "--known-good", "harmless", good)
        _say("The scan. Every match is reported at once; nothing in the storage is changed.")
        self._run("scan", str(self.storage))

    def explain(self, written: Mapping[bytes, str]) -> None:
        """Print the description and the verdict of every file."""
        _say("What was there, and what was found:")
        verdicts = self._verdicts()
        rows = [
            (
                escape_path(path),
                what,
                _result_line(verdicts.get(bytes(self.storage) + b"/" + path, NO_MATCH)),
            )
            for path, what in written.items()
        ]
        wide = [2 + max(len(row[column]) for row in rows) for column in (0, 1)]
        for path, what, verdict in (("file", "what it is", "verdict"), *rows):
            line(f"  {path:{wide[0]}}{what:{wide[1]}}{verdict}")

    def a_list_comes_later(self) -> None:
        """Import another list, and recheck without the storage."""
        _say("Later another list arrives. The storage is moved away to show that it is not read:")
        self._run("lists", "import", "newcomers", str(self.place / "later.txt"))
        away = self.storage.rename(self.place / "unmounted")
        self._run("recheck")
        away.rename(self.storage)

    def the_daemon(self) -> None:
        """Run the daemon on a directory that receives a known picture."""
        from demo.live_daemon import DaemonDemo

        _say("And when a picture comes in? That is the daemon's job.")
        watched = DaemonDemo(self.place, self._configuration(), self._run, self._options())
        watched.show(_say, self.storage / "alice" / "holiday.jpg")

    def _run(self, *arguments: str) -> None:
        """Print a command line and run it with the demo's own state and configuration."""
        line(f"\n$ hashwacht {shlex.join(arguments)}")
        sys.stdout.flush()
        code = run(root, [*arguments, *self._options()])
        if code is ExitCode.INTERRUPTED:
            raise Interrupted("the demo was interrupted")
        if code in {ExitCode.ERROR, ExitCode.UNREACHABLE}:
            raise UsageError("the demo failed", advice="The lines above say why.")

    def _options(self) -> Sequence[str]:
        """Return the options of every command of the demo."""
        state = str(self.place / "state")
        return ("--state-dir", state, "--config", str(self._configuration()))

    def _configuration(self) -> Path:
        """Return the demo's own configuration file, which runs scans at normal priority."""
        path = self.place / "hashwacht.toml"
        if not path.exists():
            path.write_text("[scan]\nlow_priority = false  # the user is waiting\n")
        return path

    def _verdicts(self) -> Mapping[bytes, Verdict]:
        """Return the recorded verdict of every reportable file."""
        from hashwacht import bootstrap
        from hashwacht.scan.report import reportable_files
        from hashwacht.settings import OptionValue, load

        given = OptionValue("state.directory", str(self.place / "state"), "--state-dir")
        settings = load({}, uid=0, file=self._configuration(), options=(given,)).settings
        with bootstrap.store(settings) as store, bootstrap.matcher_set(settings, {}) as panel:
            found = reportable_files(store, panel, [bytes(self.storage)])
            return {path: each.verdict for each in found for path in each.paths}


def _result_line(verdict: Verdict) -> str:
    """Return a verdict in a few words."""
    if verdict.outcome is Outcome.UNDETERMINED:
        return f"undetermined: {describe_reason(verdict)}"
    if verdict.suppressed:
        return "no match: set aside by a known-good list"
    if verdict.outcome is Outcome.NO_MATCH:
        return "no match"
    return f"MATCH: {', '.join(dict.fromkeys(map(describe_distance, verdict.matches)))}"


def _say(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _what_next(keep: Path | None) -> None:
    if keep:
        line(f"\nAll of it is left in {keep}: rm -r {shlex.quote(str(keep))} clears up.")
    _say("Now on your own files, which are only read:")
    for typed in _next_commands():
        line(f"  {typed}")


def _next_commands() -> Sequence[str]:
    """Return commands that work on this machine, as they have to be typed here."""
    pictures = Path.home() / "Pictures"
    directory = shlex.quote(str(pictures)) if pictures.is_dir() else "/srv"
    installed = Path(sys.executable).with_name("hashwacht")
    program = "hashwacht" if shutil.which("hashwacht") else _relative(installed)
    return (
        f"{program} lists import NAME FILE     # a list you hold; or an account: see README",
        f"{program} scan --report report.html {directory}",
        f"{program} doctor                     # is everything set up well?",
    )


def _relative(program: Path) -> str:
    """Return the path of the program, relative to the working directory if it is below it."""
    here = Path.cwd()
    return shlex.quote(str(program.relative_to(here) if program.is_relative_to(here) else program))


if __name__ == "__main__":
    sys.exit(run(demo_command, sys.argv[1:]))
