"""A main file and its drop-ins: order, merging, origins, and files that must not be believed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hashwacht.core.errors import ConfigurationError
from hashwacht.settings import Configuration, InvalidConfiguration, load
from hashwacht.settings.files import drop_in_directory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")
USER, OTHER = 1000, 1001


@pytest.fixture
def main(tmp_path: Path) -> Path:
    file = tmp_path / "hashwacht.toml"
    file.write_text("scan.jobs = 1\n")
    (tmp_path / "conf.d").mkdir()
    return file


def add(main: Path, name: str, text: str) -> Path:
    file = drop_in_directory(main) / name
    file.write_text(text)
    file.chmod(0o644)
    return file


def loaded(main: Path, uid: int | None = None) -> Configuration:
    return load({"HOME": "/home/x"}, uid=os.geteuid() if uid is None else uid, file=main)


def test_the_last_file_by_name_wins(main: Path) -> None:
    last = add(main, "20-b.toml", "\n[scan]\njobs = 3\n")
    add(main, "10-a.toml", '[scan]\njobs = 2\nexclude = ["*.log"]\n')
    configuration = loaded(main)
    assert configuration.settings.scan.jobs == 3
    assert configuration.settings.scan.exclude == ("*.log",)
    assert str(configuration.origin(("scan", "jobs"))) == f"{last}:3"
    assert configuration.files == (main, last.with_name("10-a.toml"), last)


def test_arrays_are_replaced_and_tables_merged(main: Path) -> None:
    main.write_text(
        'scan.exclude = ["a", "b"]\nfingerprint.limits = { max_frames = 7, timeout = 2 }\n'
    )
    file = add(main, "x.toml", 'scan.exclude = ["c"]\n[fingerprint.limits]\ntimeout = 3\n')
    configuration = loaded(main)
    assert configuration.settings.scan.exclude == ("c",)
    assert configuration.settings.fingerprint.limits.max_frames == 7
    assert configuration.settings.fingerprint.limits.timeout == 3
    assert str(configuration.origin(("scan", "exclude", 0))) == f"{file}:1"
    assert ("scan", "exclude", 1) not in configuration.origins
    assert str(configuration.origin(("fingerprint", "limits", "max_frames"))) == f"{main}:2"


@pytest.mark.parametrize(
    ("table", "key"),
    [('[roots.web]\npath = "/a"\n', "roots"), ('[matchers.web]\nkind = "eokm"\n', "matchers")],
)
def test_one_name_in_two_files_is_an_error_of_both(main: Path, table: str, key: str) -> None:
    first, second = add(main, "1.toml", f"{table}"), add(main, "2.toml", f"\n{table}")
    add(main, "3.toml", "scan.jobs = true\n")
    with pytest.raises(InvalidConfiguration) as caught:
        loaded(main)
    same, other = map(str, caught.value.faults)
    assert same.startswith(f"{second}:2: {key}.web: {first}:1 has the same name")
    assert "3.toml:1: scan.jobs: expected a whole number" in other


def test_drop_ins_need_no_main_file(tmp_path: Path) -> None:
    directory = tmp_path / "hashwacht/conf.d"
    directory.mkdir(parents=True)
    (directory / "a.toml").write_text('[roots.web]\npath = "/srv"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/x"}
    configuration = load(environ, uid=os.geteuid() or USER)
    assert [root.name for root in configuration.settings.roots] == ["web"]
    assert configuration.file is None
    assert configuration.files == (directory / "a.toml",)


def test_a_file_of_another_name_has_its_own_drop_ins(main: Path) -> None:
    add(main, "a.toml", "scan.jobs = 2\n")
    site = main.with_name("site.toml")
    site.write_text("")
    assert loaded(site).settings.scan.jobs == 0
    drop_in_directory(site).mkdir()
    add(site, "a.toml", "scan.jobs = 4\n")
    assert loaded(site).settings.scan.jobs == 4
    assert loaded(main).settings.scan.jobs == 2


def test_other_names_are_ignored(main: Path) -> None:
    for name in ("a.toml.new", "b.toml~", ".c.toml", "README", "d.toml.dpkg-old"):
        add(main, name, "nonsense")
    assert loaded(main).drop_ins == ()


def test_a_syntax_error_names_the_drop_in(main: Path) -> None:
    file = add(main, "a.toml", "\njobs = fast\n")
    with pytest.raises(ConfigurationError, match=f"{file}:2: invalid TOML"):
        loaded(main)


def by_group(file: Path) -> None:
    file.chmod(0o664)


def by_all(file: Path) -> None:
    file.chmod(0o646)


def of_directory(file: Path) -> None:
    file.parent.chmod(0o777)


@pytest.mark.parametrize("permit", [by_group, by_all, of_directory])
def test_a_drop_in_that_others_can_write_is_refused(
    main: Path, permit: Callable[[Path], None]
) -> None:
    permit(add(main, "a.toml", "scan.jobs = 2\n"))
    with pytest.raises(ConfigurationError, match=r"conf\.d.*: others may write to it") as caught:
        loaded(main)
    assert "chmod go-w" in caught.value.advice


@needs_root
@pytest.mark.parametrize(
    ("owner", "main_owner", "uid", "accepted"),
    [
        (OTHER, 0, 0, False),
        (OTHER, 0, USER, False),
        (USER, 0, USER, True),
        (0, USER, USER, True),
        (OTHER, OTHER, USER, True),
        (USER, 0, 0, False),
    ],
)
def test_a_drop_in_of_a_foreign_user_is_refused(
    main: Path, owner: int, main_owner: int, uid: int, accepted: bool
) -> None:
    os.chown(main, main_owner, main_owner)
    os.chown(add(main, "a.toml", "scan.jobs = 2\n"), owner, owner)
    if accepted:
        assert loaded(main, uid).settings.scan.jobs == 2
    else:
        with pytest.raises(ConfigurationError, match=rf"a\.toml: it belongs to user {owner}"):
            loaded(main, uid)


def test_what_is_no_file_is_refused_without_waiting(main: Path) -> None:
    os.mkfifo(drop_in_directory(main) / "a.toml")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        loaded(main)


def test_a_link_without_a_target_is_not_left_out(main: Path) -> None:
    (drop_in_directory(main) / "a.toml").symlink_to("/nonexistent")
    with pytest.raises(ConfigurationError, match=r"a\.toml: No such file"):
        loaded(main)
