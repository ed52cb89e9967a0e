"""When the local hash lists were imported, on which the limit for new lists depends."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from hashwacht import bootstrap
from hashwacht.matching.hashlists.manifest import MANIFEST, HashList, dump
from hashwacht.settings import load
from hashwacht.storage.store import Store


def install(directory: Path, **imported_at: float) -> None:
    directory.mkdir(exist_ok=True)
    lists = {
        name: HashList(name, "csam", False, f"{name}@1", at, "known.txt", "0" * 64, 0, 0)
        for name, at in imported_at.items()
    }
    (directory / MANIFEST).write_bytes(dump(lists))


def test_lists_of_every_matcher_have_a_time(tmp_path: Path) -> None:
    state, own, configuration = tmp_path / "state", tmp_path / "own", tmp_path / "hashwacht.toml"
    configuration.write_text(
        f"""
        [matchers.hashlist]
        kind = "hashlist"
        [matchers.second]
        kind = "hashlist"
        directory = "{own}"
        """
    )
    environ = {"HASHWACHT_STATE_DIR": str(state)}
    settings = load(environ, uid=os.geteuid(), file=configuration).settings
    with closing(Store.open(state)) as store:
        imported_at = bootstrap.case_services(settings, store, "test").lists_imported_at
        assert imported_at() == {}
        install(state / "lists", police=1.0)
        install(own, hotline=2.0)
        assert imported_at() == {"hashlist/police": 1.0, "second/hotline": 2.0}
        install(own, hotline=3.0, other=4.0)
        assert imported_at() == {
            "hashlist/police": 1.0,
            "second/hotline": 3.0,
            "second/other": 4.0,
        }
