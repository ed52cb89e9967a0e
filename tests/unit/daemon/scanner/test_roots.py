"""A path belongs to the innermost of any number of roots."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashwacht.daemon.scanner.roots import Roots
from hashwacht.settings import RootSettings


@pytest.fixture
def roots() -> Roots:
    paths = {"all": "/", "srv": "/srv", "inner": "/srv/a/b", "near": "/srv/a-b"}
    return Roots([RootSettings(name, Path(path)) for name, path in paths.items()], (), ())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/", "all"),
        (b"/etc/x", "all"),
        (b"/srv", "srv"),
        (b"/srv/a/bc", "srv"),
        (b"/srv/a/b", "inner"),
        (b"/srv/a/b/\xff\n/c", "inner"),
        (b"/srv/a-b/x", "near"),
        (b"/srv/a-bc/x", "srv"),
    ],
)
def test_a_path_belongs_to_the_innermost_root(roots: Roots, path: bytes, name: str) -> None:
    root = roots.innermost(path)
    assert root is not None
    assert root.name == name


@pytest.mark.parametrize("path", [b"", b"a", b"//", b"//x", b"/other", b"/"])
def test_a_path_outside_of_all_belongs_to_none(path: bytes) -> None:
    assert Roots([RootSettings("srv", Path("/srv"))], (), ()).innermost(path) is None
