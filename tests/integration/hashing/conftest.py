"""Pools of real worker processes whose fingerprinter misbehaves on demand; a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.pool import WorkerPool
from support.browser.renderer import Renderer, chromium
from support.browser.webdriver import lacking

CULPRITS = "support.hostile.culprits:Culprits"
PLAN = Plan(("md5", "sha1", "pdq"), Limits(timeout=0.5, max_memory=512 << 20))

Start = Callable[..., WorkerPool]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start pools that are closed after the test."""
    with ExitStack() as stack:

        def start_one(plan: Plan = PLAN, jobs: int = 1, **options: object) -> WorkerPool:
            options.setdefault("task_factory", CULPRITS)
            return stack.enter_context(
                WorkerPool(plan, jobs, **options)  # type: ignore[arg-type]  # passed on
            )

        yield start_one


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    """One Chromium for all tests of a module; other modules count the processes."""
    if lacking():
        pytest.skip(f"not installed: {lacking()}")
    with chromium(tmp_path_factory.mktemp("profile")) as renderer:
        yield renderer
