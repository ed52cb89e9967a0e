"""The annotated example agrees with the code."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hashwacht.hashing import Limits
from hashwacht.settings import HashlistSettings, load
from hashwacht.settings.kinds import keys_of
from hashwacht.settings.matchers import MATCHER_KINDS
from hashwacht.settings.roots import RootSettings
from hashwacht.settings.sections import LimitSettings, Settings
from hashwacht.settings.show import example, shared_keys
from hashwacht.settings.validate import validate

FILE = Path(__file__).parents[3] / "config" / "hashwacht.toml"


def uncommented() -> dict[str, Any]:
    """Remove the # before every key and table, as an operator would."""
    return tomllib.loads(re.sub(r"(?m)^#(?=[\[a-z])", "", FILE.read_text()))


def test_the_example_file_is_what_the_code_says() -> None:
    assert FILE.read_text() == example()


def test_the_unmodified_example_changes_nothing(tmp_path: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.touch()
    assert load({}, uid=0, file=FILE).settings == load({}, uid=0, file=bare).settings


def test_every_uncommented_value_of_the_example_is_the_default() -> None:
    settings, faults = validate(uncommented())
    assert faults == []
    plain = Settings()
    assert (settings.state, settings.scan) == (plain.state, plain.scan)
    assert settings.fingerprint == plain.fingerprint
    assert settings.matchers == tuple(section(kind) for kind, section in MATCHER_KINDS.items())
    assert settings.matchers[0] == HashlistSettings("hashlist")
    assert settings.credentials == plain.credentials
    assert (settings.daemon, settings.hold) == (plain.daemon, plain.hold)
    assert (settings.quarantine, settings.action_limits) == (plain.quarantine, plain.action_limits)
    assert settings.alerts == plain.alerts
    assert settings.roots == (RootSettings("web", Path("/srv/uploads")),)


def test_every_key_of_every_matcher_is_in_the_example() -> None:
    """Keys with the same meaning and default for every service are explained for eokm only."""
    tables = uncommented()["matchers"]
    for kind, section in MATCHER_KINDS.items():
        elsewhere = shared_keys() if kind in {"hma", "arachnid"} else ()
        keys = {key.name for key in keys_of(section) if key not in elsewhere}
        assert set(tables[kind]) == {"kind", *keys}
    assert {key.name for key in shared_keys()} <= set(tables["eokm"])
    assert "timeout" not in tables["arachnid"]


def test_the_example_names_the_shared_keys_of_each_service() -> None:
    names = ", ".join(key.name for key in shared_keys())
    text = re.sub(r"\n# ", " ", FILE.read_text())
    assert text.count(f"the same as those of eokm: {names}.") == 2


def test_the_limits_are_those_of_the_fingerprinter() -> None:
    assert asdict(LimitSettings()) == asdict(Limits())
