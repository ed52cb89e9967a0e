"""Every seed, and every input that fuzzing ever found, keeps its promise."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
SEEDS = sorted(path for path in (HERE / "seeds").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    """Load the fuzz targets; the folder is not a package."""
    spec = importlib.util.spec_from_file_location("targets", HERE / "targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", SEEDS, ids=lambda each: f"{each.parent.name}/{each.name}")
def test_a_seed_keeps_its_promise(targets: ModuleType, seed: Path) -> None:
    targets.TARGETS[seed.parent.name](seed.read_bytes())


def test_there_are_seeds_for_every_target(targets: ModuleType) -> None:
    assert {path.parent.name for path in SEEDS} == set(targets.TARGETS)
