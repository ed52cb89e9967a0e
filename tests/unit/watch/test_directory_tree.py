"""The tree of watched directories, compared with a plain model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hashwacht.watch.directory_tree import DirectoryTree, WatchedDirectory


def tree(*paths: bytes) -> DirectoryTree:
    """Return a tree that watches these directories below /srv, parents first."""
    tree = DirectoryTree(b"/srv", WatchedDirectory(1, 0, 1))
    for number, path in enumerate(paths, 2):
        above, _, name = path.rpartition(b"/")
        parent = tree.find(above)
        assert parent is not None
        tree.attach(parent, name, WatchedDirectory(number, number, number))
    return tree


def at(directories: DirectoryTree, path: bytes) -> WatchedDirectory:
    node = directories.find(path)
    assert node is not None
    return node


def test_a_rename_moves_everything_below() -> None:
    directories = tree(b"/srv/a", b"/srv/a/b", b"/srv/a/b/c", b"/srv/z")
    deep = at(directories, b"/srv/a/b/c")
    directories.detach(at(directories, b"/srv/a/b"))
    assert directories.path(deep) is None
    assert directories.attach(at(directories, b"/srv/z"), b"y", WatchedDirectory(3, 9, 3)) is at(
        directories, b"/srv/z/y"
    )
    assert directories.path(deep, b"file") == b"/srv/z/y/c/file"
    assert not directories.detached()


def test_a_directory_is_never_below_itself() -> None:
    directories = tree(b"/srv/a", b"/srv/a/b")
    assert (
        directories.attach(at(directories, b"/srv/a/b"), b"loop", WatchedDirectory(2, 9, 2)) is None
    )
    assert (
        directories.attach(at(directories, b"/srv/a/b"), b"root", WatchedDirectory(1, 9, 1)) is None
    )
    assert directories.path(at(directories, b"/srv/a/b")) == b"/srv/a/b"


def test_the_root_of_all_has_plain_paths() -> None:
    tree = DirectoryTree(b"/", WatchedDirectory(1, 0, 1))
    tree.attach(tree.root, b"a", WatchedDirectory(2, 0, 2))
    assert tree.path(tree.root) == b"/"
    assert tree.path(tree.root, b"x") == b"/x"
    assert tree.path(at(tree, b"/a"), b"x") == b"/a/x"


class Model(RuleBasedStateMachine):
    """Every directory has a unique path or none; the model stores them in a dictionary."""

    names = st.sampled_from([b"a", b"b", b"c"])

    def __init__(self) -> None:
        super().__init__()
        self.real = DirectoryTree(b"/srv", WatchedDirectory(1, 0, 1))
        self.above: dict[int, tuple[int, bytes] | None] = {}
        self.next = 2

    def path(self, wd: int) -> bytes | None:
        names = []
        while wd != 1:
            place = self.above[wd]
            if place is None:
                return None
            wd, name = place
            names.append(name)
        return b"/".join([b"/srv", *reversed(names)])

    def is_above(self, wd: int, other: int) -> bool:
        while other != wd:
            place = self.above[other] if other != 1 else None
            if place is None:
                return False
            other = place[0]
        return True

    def hang(self, wd: int, above: int, name: bytes) -> None:
        for node, place in self.above.items():
            if place == (above, name):
                self.above[node] = None
        self.above[wd] = above, name

    def pick(self, number: int, *, root: bool = True) -> int:
        nodes = [*([1] if root else []), *self.above]
        return nodes[number % len(nodes)]

    @rule(number=st.integers(0, 50), name=names)
    def make(self, number: int, name: bytes) -> None:
        above = self.pick(number)
        parent = self.real.get(above)
        assert parent is not None
        assert self.real.attach(parent, name, WatchedDirectory(self.next, 0, 0)) is not None
        self.above[self.next] = None
        self.hang(self.next, above, name)
        self.next += 1

    @precondition(lambda self: self.above)
    @rule(what=st.integers(0, 50), where=st.integers(0, 50), name=names)
    def move(self, what: int, where: int, name: bytes) -> None:
        wd, above = self.pick(what, root=False), self.pick(where)
        parent = self.real.get(above)
        assert parent is not None
        lay = self.above[wd]
        node = self.real.attach(parent, name, WatchedDirectory(wd, 0, 0))
        if not self.is_above(wd, above):
            self.hang(wd, above, name)
        assert node is (self.real.get(wd) if self.above[wd] != lay else None)

    @precondition(lambda self: self.above)
    @rule(what=st.integers(0, 50))
    def detach(self, what: int) -> None:
        wd = self.pick(what, root=False)
        directory = self.real.get(wd)
        assert directory is not None
        self.real.detach(directory)
        self.above[wd] = None

    @precondition(lambda self: self.above)
    @rule(what=st.integers(0, 50))
    def forget(self, what: int) -> None:
        wd = self.pick(what, root=False)
        directory = self.real.get(wd)
        assert directory is not None
        self.real.remove(directory)
        del self.above[wd]
        for node, place in self.above.items():
            if place is not None and place[0] == wd:
                self.above[node] = None

    @invariant()
    def paths_are_those_of_the_model(self) -> None:
        assert len(self.real) == 1 + len(self.above)
        for wd in self.above:
            directory = self.real.get(wd)
            assert directory is not None
            path = self.path(wd)
            assert self.real.path(directory) == path
            assert path is None or self.real.find(path) is directory
        adrift = {directory.wd for directory in self.real.detached()}
        assert adrift == {wd for wd, place in self.above.items() if place is None}
        reached = {
            directory.wd for top in self.real.detached() for directory in self.real.subtree(top)
        }
        assert reached == {wd for wd in self.above if self.path(wd) is None}


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30)
