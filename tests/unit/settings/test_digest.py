"""The digest of the configuration: equal for equal values, different for different ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hashwacht.settings import ActionLimitSettings, Settings
from hashwacht.settings.sections import StateSettings
from hashwacht.settings.show import digest


def test_the_same_values_have_the_same_digest() -> None:
    assert digest(Settings()) == digest(Settings())
    assert len(digest(Settings())) == 64


def test_any_other_value_has_another_digest() -> None:
    settings = Settings()
    variants = [
        replace(settings, action_limits=ActionLimitSettings(per_hash=26)),
        replace(settings, state=StateSettings(Path("/elsewhere"))),
        replace(settings, state=StateSettings(Path("/odd-\udcff"))),
    ]
    assert len({digest(values) for values in (settings, *variants)}) == 4
