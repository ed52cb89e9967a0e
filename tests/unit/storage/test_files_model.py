"""Files and directories compared with dictionaries, for any order of calls."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hashwacht.core.types import FileId, Fingerprint, Outcome, Reason, Verdict
from hashwacht.storage.answers import KnowledgeIds
from hashwacht.storage.contents import Contents, StoredVerdict
from hashwacht.storage.files import Files, KnownFile
from hashwacht.storage.sqlite.database import Database
from support.stored import record_contents
from support.strategies import file_ids, names

KEYS = tuple(f"{number:02x}" * 32 for number in range(3))
RECIPE = ("md5/1", "pdq/1")
DIRECTORIES = (b"/", b"/srv", b"/srv/a", b"/srv/a/\xff\n", b"/srv/ab", b"/srv0", b"/var/\x00f")
FEW_NAMES = (b"one.jpg", b"\xff\xfe", b"-rf \n\x1b[2J")

directories = st.sampled_from(DIRECTORIES)
runs = st.integers(1, 3)
some_names = st.sampled_from(FEW_NAMES) | names


@dataclass(frozen=True)
class Look:
    id: FileId
    nlink: int
    key: str | None
    reason: Reason | None
    run: int


looks = st.tuples(
    some_names,
    file_ids,
    st.integers(1, 3),
    st.sampled_from((*KEYS, None)),
)


class FilesMachine(RuleBasedStateMachine):
    """The first content has the verdict MATCH, the second UNDETERMINED, the third none."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.files: dict[bytes, dict[bytes, Look]] = {}
        self.runs: dict[bytes, int] = {}
        self.open()
        prints = [Fingerprint(key, 5, "image/jpeg", RECIPE, ()) for key in KEYS]
        contents = Contents(self.database)
        self.numbers = record_contents(self.database, prints, 1.0)
        self.epoch = KnowledgeIds(self.database).resolve("now")
        first, second, _ = self.numbers.values()
        undetermined = Verdict(Outcome.UNDETERMINED, reason=Reason.REFUSED)
        contents.record_verdicts(
            [
                StoredVerdict(first, Verdict(Outcome.MATCH), self.epoch, 2.5),
                StoredVerdict(second, undetermined, None, float("inf")),
            ]
        )

    def open(self) -> None:
        self.database = Database.open(self.folder / "state.db")
        self.tested = Files(self.database)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    @rule()
    def close_and_open_again(self) -> None:
        self.database.close()
        self.open()

    @rule(directory=directories, run=runs, entries=st.lists(looks, max_size=4))
    def put(
        self, directory: bytes, run: int, entries: list[tuple[bytes, FileId, int, str | None]]
    ) -> None:
        rows = []
        for name, file, nlink, key in entries:
            reason = Reason.CHANGED if key is None else None
            rows.append((name, file, nlink, None if key is None else self.numbers[key], reason))
            files = self.files.setdefault(directory, {})
            files[name] = Look(file, nlink, key, reason, run)
        self.tested.record(directory, run, rows)
        self.runs.setdefault(directory, 0)

    @rule(directory=directories, entries=st.lists(some_names, max_size=3))
    def forget_names(self, directory: bytes, entries: list[bytes]) -> None:
        files = self.files.get(directory, {})
        names = [*entries, *list(files)[:1]]
        self.tested.remove(directory, names)
        for name in names:
            files.pop(name, None)

    @rule(directory=directories, run=runs)
    def finish_a_directory(self, directory: bytes, run: int) -> None:
        self.tested.mark_directory_done(directory, run)
        self.runs[directory] = run

    @rule(root=directories, run=runs, present=st.sets(directories, max_size=1))
    def forget_what_a_run_has_not_listed(self, root: bytes, run: int, present: set[bytes]) -> None:
        prefix = root.rstrip(b"/") + b"/"
        removed = [
            path
            for path, last in self.runs.items()
            if path != root and path.startswith(prefix) and last != run and path not in present
        ]
        if self.runs.get(root) != run:
            removed = []
        assert self.tested.remove_unlisted(root, run, present) == len(removed)
        for path in removed:
            del self.runs[path]
            self.files.pop(path, None)

    @rule(directory=directories, run=runs)
    def fail_in_the_middle(self, directory: bytes, run: int) -> None:
        with contextlib.suppress(ZeroDivisionError), self.database.transaction():
            self.tested.remove(directory, list(self.files.get(directory, {})))
            self.tested.mark_directory_done(directory, run + 1)
            raise ZeroDivisionError

    def expected(self, look: Look) -> KnownFile:
        content = None if look.key is None else self.numbers[look.key]
        recipe = () if look.key is None else RECIPE
        if look.key == KEYS[0]:
            return KnownFile(
                look.id, content, None, recipe, Outcome.MATCH, self.epoch, 2.5, look.run
            )
        if look.key == KEYS[1]:
            undetermined, ever = Outcome.UNDETERMINED, float("inf")
            return KnownFile(
                look.id, content, Reason.REFUSED, recipe, undetermined, None, ever, look.run
            )
        return KnownFile(look.id, content, look.reason, recipe, None, None, None, look.run)

    @invariant()
    def every_directory_is_as_it_was_recorded(self) -> None:
        for directory in DIRECTORIES:
            files = self.files.get(directory, {})
            expected = {name: self.expected(look) for name, look in files.items()}
            assert self.tested.load_directory(directory) == expected
            assert self.tested.missing_names(directory, ()) == sorted(files)
            assert self.tested.missing_names(directory, files) == []
            for run in range(4):
                assert self.tested.is_directory_done(directory, run) == (
                    self.runs.get(directory) == run
                )

    @invariant()
    def every_content_is_found_where_it_lies(self) -> None:
        for key, number in self.numbers.items():
            expected = {
                directory.rstrip(b"/") + b"/" + name
                for directory, files in self.files.items()
                for name, look in files.items()
                if look.key == key
            }
            paths = self.tested.load_paths(number)
            assert len(paths) == len(expected)
            assert set(paths) == expected
            assert self.tested.load_paths(number, 1) == paths[:1]

    @invariant()
    def another_name_of_an_inode_is_found_if_it_had_several(self) -> None:
        every = [look for file in self.files.values() for look in file.values()]
        for look in every:
            same = [
                state
                for state in every
                if (state.id.dev, state.id.ino) == (look.id.dev, look.id.ino) and state.nlink > 1
            ]
            file = self.tested.load_by_inode(look.id.dev, look.id.ino)
            if same:
                assert file in [self.expected(look) for look in same]
                assert file is not None
                assert file.run == max(look.run for look in same)
            else:
                assert file is None


TestFiles = FilesMachine.TestCase
TestFiles.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
