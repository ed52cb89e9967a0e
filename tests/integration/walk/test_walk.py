"""The walker on trees that do not change, however unusual."""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.errors import UsageError
from hashwacht.platform.safe_open import FileChanged
from hashwacht.walk.listing import (
    ListedDirectory,
    ListingProblem,
    SkipReason,
    SubdirectoryBatch,
    WalkLimits,
)
from hashwacht.walk.rules import ExclusionRules, parse_rules
from hashwacht.walk.walk import Walker

Walk = Callable[..., list[ListedDirectory]]


def files(walked: list[ListedDirectory]) -> set[bytes]:
    return {listing.path + b"/" + entry.name for listing in walked for entry in listing.files}


def problems(walked: list[ListedDirectory]) -> list[tuple[bytes, ListingProblem]]:
    return [(entry.path, problem) for entry in walked for problem in entry.problems]


def rules(*lines: str) -> ExclusionRules:
    return ExclusionRules(parse_rules(lines, "test"))


def test_names_of_any_bytes_come_back_as_they_are(walk: Walk, tmp_path: Path) -> None:
    names = [b"a\nb", b"\xff\xfe", b"\x1b[2J", b" ", b"-rf", b"a\\b", b"*", "Käse".encode()]
    top = bytes(tmp_path)
    for name in names:
        directory = tmp_path / os.fsdecode(b"d" + name)
        directory.mkdir()
        (directory / os.fsdecode(name)).touch()
    walked = walk(tmp_path)
    assert files(walked) == {top + b"/d" + name + b"/" + name for name in names}


def test_a_file_is_opened_as_what_it_was_listed_as(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    for directory in Walker(bytes(tmp_path), rules()).walk():
        (entry,) = directory.files
        fd = directory.open(entry)
        assert os.read(fd, 100) == b"content"
        status = os.fstat(fd)
        assert entry.id.from_stat(status) == entry.id
        assert not os.get_inheritable(fd)
        os.close(fd)
        (tmp_path / "b").write_bytes(b"other")
        (tmp_path / "b").rename(tmp_path / "a")
        with pytest.raises(FileChanged):
            directory.open(entry)
        (tmp_path / "a").unlink()
        with pytest.raises(FileNotFoundError):
            directory.open(entry)


def test_nothing_can_be_opened_once_the_walk_has_gone_on(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (directory,) = list(Walker(bytes(tmp_path), rules()).walk())
    with pytest.raises(OSError, match="Bad file descriptor"):
        directory.open(directory.files[0])


def test_links_and_special_files_are_counted_and_never_opened(walk: Walk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "secret").mkdir(parents=True)
    (outside / "secret" / "x").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "to-file").symlink_to(outside / "secret" / "x")
    (root / "to-directory").symlink_to(outside)
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(root / "socket"))
        (only,) = walk(root)
    assert (only.files, only.problems) == ([], [])
    assert (only.symlinks, only.special, only.excluded) == (4, 2, 0)


def test_hard_links_are_reported_with_one_identity(walk: Walk, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b").hardlink_to(tmp_path / "a")
    entries = [entry for listing in walk(tmp_path) for entry in listing.files]
    assert [entry.nlink for entry in entries] == [2, 2]
    assert len({entry.id for entry in entries}) == 1


def test_the_root_may_be_a_file_or_a_link_and_must_exist(walk: Walk, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").touch()
    (tmp_path / "link").symlink_to("d")
    (tmp_path / "file-link").symlink_to("d/a")
    expected = {bytes(tmp_path / "d" / "a")}
    for root in ("d", "link", "link/", "d/a", "file-link"):
        assert files(walk(os.fsencode(f"{tmp_path}/{root}"))) == expected
    os.mkfifo(tmp_path / "fifo")
    assert [entry.special for entry in walk(tmp_path / "fifo")] == [1]
    for missing in ("nothing", "d/a/below"):
        with pytest.raises(UsageError, match="does not exist"):
            walk(tmp_path / missing)


def test_a_rule_that_excludes_the_root_is_an_error_that_names_it(
    walk: Walk, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"\*\*/.*\(test:1\)"):
        walk(tmp_path, rules(f"**/{tmp_path.name}/"))


def test_excluded_directories_are_not_entered(walk: Walk, tmp_path: Path) -> None:
    for name in ("keep/a.jpg", "keep/b.log", "cache/c.jpg", "keep/cache/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    walked = walk(tmp_path, rules("cache/", "*.log", "!/**/cache/d.jpg"))
    assert files(walked) == {bytes(tmp_path / "keep/a.jpg")}
    assert sum(entry.excluded for entry in walked) == 3
    assert {entry.path for entry in walked} == {bytes(tmp_path), bytes(tmp_path / "keep")}


def test_a_run_resumed_does_not_list_again_what_was_listed(walk: Walk, tmp_path: Path) -> None:
    for name in ("a/x", "a/b/y", "c/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = {bytes(tmp_path), bytes(tmp_path / "a")}
    walked = walk(tmp_path, listed=listed.__contains__)
    assert files(walked) == {bytes(tmp_path / "a/b/y"), bytes(tmp_path / "c/z")}
    assert listed.isdisjoint(entry.path for entry in walked)


def test_a_large_directory_is_listed_in_portions_by_inode(walk: Walk, tmp_path: Path) -> None:
    names = {f"{number:04}".encode() for number in range(1000)}
    for name in names:
        (tmp_path / name.decode()).touch()
    walked = walk(tmp_path, limits=WalkLimits(chunk=300, portion=60))
    assert [entry.last for entry in walked] == [False, False, False, True]
    assert [len(entry.files) for entry in walked] == [300, 300, 300, 100]
    assert {entry.name for listing in walked for entry in listing.files} == names
    for listing in walked:
        assert listing.files == sorted(listing.files, key=lambda entry: entry.ino)


def test_a_slow_directory_is_yielded_in_time(walk: Walk, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).touch()
    walked = walk(tmp_path, limits=WalkLimits(portion=0))
    assert [entry.last for entry in walked] == [False, False, False, True]
    assert sum(len(entry.files) for entry in walked) == 200


@given(
    st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=2)), unique=True),
    st.integers(1, 5),
)
def test_batches_of_any_size_hold_every_subdirectory_once(
    keys: list[tuple[int, bytes]], limit: int
) -> None:
    entries: list[tuple[int, bytes]] = []
    more = True
    while more:
        batch = SubdirectoryBatch(entries[-1] if entries else None, limit)
        for key in keys:
            batch.offer(key)
        entries += batch.keys()[::-1]
        more = batch.more
        assert len(batch.keys()) <= limit
    assert entries == sorted(keys)


components = st.sampled_from(["a", "b", "c", "\udcff", "d\n"])
trees = st.lists(st.lists(components, min_size=1, max_size=7), max_size=25)


@settings(max_examples=60, deadline=None)
@given(trees, st.integers(1, 4), st.integers(1, 3), st.integers(1, 4))
def test_limits_change_nothing_but_the_portions(
    tree: list[list[str]], pending: int, kept: int, chunk: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for parts in tree:
            directory = top.joinpath(*parts)
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "f").touch()
            (directory / "g").touch()
        bounds = WalkLimits(pending=pending, kept=kept, chunk=chunk)
        walked = list(Walker(bytes(top), rules(), limits=bounds).walk())
        directories = list(os.walk(bytes(top)))
        expected = {here + b"/" + name for here, _, names in directories for name in names}
        assert sum(len(entry.files) for entry in walked) == len(expected)
        assert files(walked) == expected
        assert {entry.path for entry in walked} == {here for here, _, _ in directories}
        assert not problems(walked)


def chain(top: Path, levels: int, name: bytes, *, side: bool) -> None:
    """Make nested directories, with a file and perhaps a second directory in each."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        if side:
            os.mkdir(b"~", dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(os.open(b"f", os.O_CREAT, dir_fd=below))
        os.close(here)
        here = below
    os.close(here)


def descriptors() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/fd").iterdir()}


@contextmanager
def few_descriptors() -> Iterator[int]:
    """Limit this process to 40 more descriptors than it has open."""
    used = max(descriptors()) + 1
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 40, before[1]))
    try:
        yield used
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("side", [False, True])
def test_five_thousand_levels_need_neither_stack_nor_descriptors(
    walk: Walk, open_tree: Path, *, side: bool
) -> None:
    """With *side*, every level has another directory to enter on the way back."""
    chain(open_tree, 5000, b"d", side=side)
    with few_descriptors():
        walked = walk(open_tree)
    assert sum(len(entry.files) for entry in walked) == 5000
    assert len(walked) == (10_001 if side else 5001)
    assert not problems(walked)
    assert max(len(entry.path) for entry in walked) > 10_000


def test_a_path_beyond_all_measure_is_a_problem_and_no_crash(walk: Walk, open_tree: Path) -> None:
    chain(open_tree, 70, b"n" * 250, side=False)
    walked = walk(open_tree)
    ((path, problem),) = problems(walked)
    assert problem.skip_reason is SkipReason.TOO_DEEP
    assert problem.skip_reason.loses_files
    assert WalkLimits().path < len(path) <= WalkLimits().path + 252
    assert sum(len(entry.files) for entry in walked) == path.count(b"n" * 250) - 1


def test_no_descriptor_is_left_however_the_walk_ends(tmp_path: Path) -> None:
    chain(tmp_path, 30, b"d", side=True)
    before = descriptors()
    half = Walker(bytes(tmp_path), rules()).walk()
    for _ in range(20):
        next(half)
    assert len(descriptors()) > len(before)
    half.close()
    list(Walker(bytes(tmp_path), rules()).walk())
    assert descriptors() == before


UNPRIVILEGED = """
import json, os, sys
from hashwacht.walk.rules import ExclusionRules
from hashwacht.walk.walk import Walker
os.setgroups([]); os.setgid(65534); os.setuid(65534)
seen = []
for directory in Walker(os.fsencode(sys.argv[1]), ExclusionRules([])).walk():
    problems = [[p.name.decode(), p.skip_reason, p.detail] for p in directory.problems]
    opened = []
    for entry in directory.files:
        try:
            fd = directory.open(entry)
        except OSError as error:
            opened.append([entry.name.decode(), error.strerror])
        else:
            opened.append([entry.name.decode(), os.read(fd, 9).decode()])
            os.close(fd)
    seen.append([directory.path.decode(), opened, problems])
print(json.dumps(sorted(seen)))
"""


def run(program: str, *arguments: object, before: tuple[str, ...] = ()) -> list[object]:
    result = subprocess.run(
        [*before, sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if before and "propagation" in result.stderr:
        pytest.skip("no separate mount namespace is available here, as in a bare chroot")
    assert result.returncode == 0, result.stderr
    values = json.loads(result.stdout)
    assert isinstance(values, list)
    return values


@pytest.mark.usefixtures("root_only")
def test_what_may_not_be_read_is_reported_with_the_reason(open_tree: Path) -> None:
    top = open_tree / "only-search"
    root = top / "root"
    for name in ("locked", "unsearchable"):
        (root / name).mkdir(parents=True)
        (root / name / "a").write_text("a")
    (root / "mine").write_text("mine")
    (root / "theirs").write_text("theirs")
    (root / "theirs").chmod(0)
    (root / "locked").chmod(0o700)
    (root / "unsearchable").chmod(0o704)
    top.chmod(0o711)
    denied = "Permission denied"
    assert run(UNPRIVILEGED, root) == [
        [str(root), [["mine", "mine"], ["theirs", denied]], []],
        [f"{root}/locked", [], [["", "unreadable", denied]]],
        [f"{root}/unsearchable", [], [["a", "unreadable", denied]]],
    ]
    (top / "single").write_text("single")
    assert run(UNPRIVILEGED, top / "single") == [[str(top), [["single", "single"]], []]]


MOUNTED = """
import json, os, subprocess, sys
from hashwacht.walk.explain import explain
from hashwacht.walk.rules import ExclusionRules
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.walk.walk import Walker
root = sys.argv[1]
def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)
mount("-t", "tmpfs", "none", f"{root}/other")
open(f"{root}/other/b", "w").close()
mount("--bind", root, f"{root}/loop")
mount("--bind", f"{root}/source", f"{root}/bound")
mount("-t", "proc", "none", f"{root}/kernel")
def show(scope):
    walker = Walker(os.fsencode(root), ExclusionRules([]), scope=scope)
    return sorted([d.path.decode()[len(root):], [e.name.decode() for e in d.files],
                   [p.skip_reason for p in d.problems]] for d in walker.walk())
def reasons(scope):
    names = ("other/b", "loop/source", "bound/c", "kernel/version")
    rules, top = ExclusionRules([]), root.encode()
    paths = [f"{root}/{name}".encode() for name in names]
    return [explain(path, rules, root=top, scope=scope).reason for path in paths]
print(json.dumps([[show(scope), reasons(scope)] for scope in FileSystemScope]))
"""


@pytest.mark.usefixtures("root_only")
def test_local_mounts_are_entered_and_loops_are_not(tmp_path: Path) -> None:
    for name in ("other", "loop", "source", "bound", "kernel"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "c").touch()
    private = ("unshare", "--mount", "--propagation", "private")
    local, same_file_system, everything = run(MOUNTED, tmp_path, before=private)
    rest = [
        ["", [], []],
        ["/bound", ["c"], []],
        ["/kernel", [], ["pseudo-file-system"]],
        ["/loop", [], ["loop"]],
        ["/source", ["c"], []],
    ]
    reasons = [
        "one of its parent directories is mounted here",
        "no rule matches",
        "an interface of the kernel (proc) is mounted here",
    ]
    refused = sorted([*rest, ["/other", [], ["other-file-system"]]])
    assert same_file_system == [refused, ["another file system is mounted here", *reasons]]
    entered = sorted([*rest, ["/other", ["b"], []]])
    assert local == everything == [entered, ["no rule matches", *reasons]]
