from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from demo.sample_storage import KNOWN as KNOWN_SEED
from demo.sample_storage import known_list
from hashwacht import Checker
from support.plugins.uploads import KNOWN, knowing
from support.program import Program


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    """Return a checker that lists one content."""
    with knowing(KNOWN) as checker:
        yield checker


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Configure a machine with a list."""
    program = Program(tmp_path_factory.mktemp("home"))
    result = program.run("lists", "import", "known", "-", given=known_list())
    assert result.returncode == 0, result.stderr
    return program


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a re-encoded copy of the listed picture that only a perceptual hash matches."""
    file = tmp_path_factory.mktemp("pictures") / "known.png"
    file.write_bytes(encode(photo(KNOWN_SEED), "png"))
    return file


@pytest.fixture(scope="module")
def unknown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an unlisted picture of some hundred kilobytes."""
    file = tmp_path_factory.mktemp("pictures") / "unknown.png"
    file.write_bytes(encode(photo(7), "png"))
    return file


@pytest.fixture(scope="session")
def django_project(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Configure Django, once for the process; tests override what they change."""
    import django  # type: ignore[import-untyped]  # Django ships no types
    from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types

    inner = {
        "backend": "django.core.files.storage.FileSystemStorage",
        "options": {"location": str(tmp_path_factory.mktemp("media")), "base_url": "/media/"},
    }
    storage = {"BACKEND": "hashwacht_plugins.django.storage.HashwachtStorage", "OPTIONS": inner}
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["hashwacht_plugins.django"],
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        SECRET_KEY="for tests",
        STORAGES={"default": storage},
    )
    django.setup()
