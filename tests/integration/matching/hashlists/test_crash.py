"""A killed import leaves the old list or the new one, and its temporary files are removed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from hashwacht.core.types import Outcome, Signal
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher

Importer = Callable[..., "Popen[str]"]

LINES = 17_000  # enough PDQ values for bands
KILLS = 12


def _document(path: Path, seed: int, lines: int = LINES) -> Signal:
    """Write a list; return its last signal, which is read and indexed after all others."""
    chance = random.Random(seed)
    values = [chance.randbytes(32).hex() for _ in range(lines)]
    path.write_text("".join(f"pdq {value}\n" for value in values))
    return Signal("pdq", values[-1])


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _is_known(directory: Path, signal: Signal) -> bool:
    [answer] = HashListMatcher(directory).lookup([(signal,)])
    assert answer.outcome in {Outcome.MATCH, Outcome.NO_MATCH}
    return answer.outcome is Outcome.MATCH


def test_a_killed_import_leaves_the_old_or_the_new_list(tmp_path: Path, importer: Importer) -> None:
    directory, document = tmp_path / "lists", tmp_path / "new.txt"
    lists = HashLists(directory)
    new = _document(document, 2)
    old = _document(tmp_path / "old.txt", 1, 500)

    def install_old() -> None:
        with (tmp_path / "old.txt").open("rb") as file:
            lists.import_list(file, ListMetadata("police"))

    install_old()
    started = time.monotonic()
    process = importer(directory, document, "police")
    process.communicate()
    duration = time.monotonic() - started
    assert _is_known(directory, new)

    chance, outcomes = random.Random(12), set[bool]()
    for _ in range(KILLS):
        install_old()
        process = importer(directory, document, "police")
        # Any moment of the import is tested, the commit included.
        time.sleep(chance.uniform(0, duration))
        process.kill()
        process.communicate()
        is_complete = _is_known(directory, new)
        assert is_complete != _is_known(directory, old)
        assert all(finding.ok for finding in lists.verify())
        outcomes.add(is_complete)
    install_old()
    names = {lists.get("police").directory, "lists.json", "lock"}
    assert _names(directory) == names
    assert False in outcomes, "no kill came before the end, so nothing was tested"


def test_import_stopped_by_an_error_leaves_nothing(tmp_path: Path) -> None:
    """The error, including an interrupt, is raised while the progress is reported."""
    directory, document = tmp_path / "lists", tmp_path / "new.txt"
    _document(document, 3, 70_000)
    lists = HashLists(directory)

    def stop(_progress: object) -> None:
        raise KeyboardInterrupt

    with document.open("rb") as file:
        try:
            lists.import_list(file, ListMetadata("police"), on_progress=stop)
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("progress was not reported")
    assert _names(directory) == {"lock"}
    assert lists.all() == []


def test_import_at_work_is_not_swept_by_another(tmp_path: Path) -> None:
    """A lock held by the importing process distinguishes its files from left-overs."""
    directory, document = tmp_path / "lists", tmp_path / "big.txt"
    big = _document(document, 4, 70_000)
    small = _document(tmp_path / "small.txt", 5, 10)
    lists = HashLists(directory)

    def import_another(_progress: object) -> None:
        with (tmp_path / "small.txt").open("rb") as file:
            HashLists(directory).import_list(file, ListMetadata("small"))

    with document.open("rb") as file:
        lists.import_list(file, ListMetadata("big"), on_progress=import_another)
    assert _is_known(directory, big)
    assert _is_known(directory, small)
    assert len(_names(directory)) == 4
