"""The names that other programs may import, and the cost of importing them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hashwacht
import hashwacht_plugins

HEAVY = (
    "click",
    "watchdog",
    "keyring",
    "PIL",
    "httpx",
    "numpy",
    "django",
    "flask",
    "starlette",
    "aiohttp",
)

FRAMEWORKS = {
    "django": "django.uploadhandler",
    "flask": "flask",
    "starlette": "starlette",
    "aiohttp": "aiohttp",
}


def imported_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in result.stdout.split()} | set(result.stdout.split())


def test_importing_hashwacht_imports_nothing_of_it() -> None:
    assert {n for n in imported_by("import hashwacht") if n.startswith("hashwacht.")} == set()


@pytest.mark.parametrize("name", ["asgi", "wsgi"])
def test_importing_a_middleware_imports_no_heavy_module(
    name: str,
) -> None:
    modules = imported_by(f"from hashwacht_plugins.{name} import HashwachtMiddleware")
    assert modules.isdisjoint(HEAVY)
    assert "python_multipart" in modules


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_for_one_framework_imports_no_other(framework: str) -> None:
    modules = imported_by(f"import hashwacht_plugins.{FRAMEWORKS[framework]}")
    assert modules & {*FRAMEWORKS, "watchdog", "keyring"} == {framework}  # Flask imports click


def test_plugins_import_only_public_names() -> None:
    """The plug-ins import public names of hashwacht, and otherwise its form parser only."""
    (directory,) = hashwacht_plugins.__path__
    imported: set[str] = set()
    for file in Path(directory).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not [a.name for a in node.names if a.name.startswith("hashwacht.")], file
            elif isinstance(node, ast.ImportFrom) and node.module:
                private = node.module.startswith("hashwacht.")
                assert not private or node.module.startswith("hashwacht.multipart."), file
                if node.module == "hashwacht":
                    imported |= {name.name for name in node.names}
    assert imported
    assert imported <= set(hashwacht.__all__)
