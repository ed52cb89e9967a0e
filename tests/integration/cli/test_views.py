"""Views on the command line: hashes, comparisons, and entries near a picture."""

from __future__ import annotations

import pytest
from PIL import ImageOps
from PIL.Image import Transpose

from demo.pictures import photo
from support.program import Program, objects

PICTURE = photo(3, (900, 700))


@pytest.fixture
def program_with_list(program: Program) -> Program:
    """Write a picture, a turned copy in a border and another one; import the hash of the first."""
    PICTURE.save(program.home / "listed.jpg")
    framed = ImageOps.expand(PICTURE.transpose(Transpose.ROTATE_90), 40, "white")
    framed.save(program.home / "found.png")
    photo(4).save(program.home / "other.jpg")
    hashes = program.run("hash", "listed.jpg").stdout.decode().split()
    value = next(word for word in hashes if word.startswith("pdq:"))
    (program.home / "list.csv").write_text(f"signal_type,value\npdq,{value.removeprefix('pdq:')}\n")
    assert program.run("lists", "import", "police", "list.csv").returncode == 0
    return program


def test_views_are_hashed_if_asked_for(program_with_list: Program) -> None:
    plain, views = (
        objects(program_with_list.run("hash", "--json", *option, "found.png").stdout)[0]["signals"]
        for option in ((), ("--views",))
    )
    assert not any("variant" in signal for signal in plain)
    assert {"rotate90", "trim", "trim/flop"} <= {signal.get("variant") for signal in views}


def test_a_match_names_the_view(program_with_list: Program) -> None:
    result = program_with_list.run("check", "found.png")
    assert result.returncode == 1
    assert b"pdq of trim/rotate270 " in result.stdout
    (document,) = objects(program_with_list.run("check", "--json", "found.png").stdout)
    assert document["matches"][0]["signal"]["variant"] == "trim/rotate270"


def test_a_comparison_explains_a_match(program_with_list: Program) -> None:
    result = program_with_list.run("compare", "listed.jpg", "found.png")
    assert result.returncode == 1
    assert b"pdq decides: the found picture, without its border, rotated by 270" in result.stdout
    (document,) = objects(
        program_with_list.run("compare", "--json", "listed.jpg", "found.png").stdout
    )
    assert document["decides"]["view"] == "trim/rotate270"
    assert document["decides"]["distance"] <= document["decides"]["limit"] == 24


def test_a_comparison_of_other_pictures_is_no_match(program_with_list: Program) -> None:
    result = program_with_list.run("compare", "listed.jpg", "other.jpg")
    assert result.returncode == 0
    assert b"no match by any hash" in result.stdout
    missing = program_with_list.run("compare", "listed.jpg", "none.jpg")
    assert missing.returncode == 2
    assert b"none.jpg: No such file" in missing.stderr


def test_the_nearest_entries_are_shown_without_values(program_with_list: Program) -> None:
    result = program_with_list.run("lists", "test", "found.png", "--list", "police", "--json")
    assert result.returncode == 1
    (entry,) = objects(result.stdout)
    assert (entry["view"], entry["category"], entry["matches"]) == ("trim/rotate270", "csam", True)
    assert "value" not in entry
    far = program_with_list.run("lists", "test", "other.jpg", "--list", "police")
    assert (far.returncode, far.stdout.startswith(b"No entry of police")) == (0, True)


def test_a_view_that_lists_are_not_asked_about(program_with_list: Program) -> None:
    """A smaller radius for a view, and one that is left out."""
    config = program_with_list.home / "own.toml"
    changed = ImageOps.posterize(PICTURE.transpose(Transpose.ROTATE_90), 3)
    ImageOps.expand(changed, 40, "white").save(program_with_list.home / "found.png")
    for views, code in (("{ turned = 31, trim = 24 }", 1), ("{ turned = 31, trim = 0 }", 0)):
        config.write_text(f'[matchers.hashlist]\nkind = "hashlist"\nviews = {views}\n')
        result = program_with_list.run("--config", config, "check", "found.png")
        assert result.returncode == code
    config.write_text('[matchers.hashlist]\nkind = "hashlist"\nviews = { turned = 31 }\n')
    assert program_with_list.run("--config", config, "check", "found.png").returncode == 0
