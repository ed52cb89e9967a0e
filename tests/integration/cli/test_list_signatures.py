"""``lists update`` with the programs that check signatures, as docs/guide.md names them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.list_sources import KNOWN, content, publish
from support.program import Program, objects
from support.repositories import run, throw_away_key

Sign = Callable[[Path], object]


def needed(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def sign_with_gpg(home: Path, stack: ExitStack) -> Sign:
    """Create a key and its key ring ``HOME.public``; return what signs a file with it."""
    needed("gpg")
    fingerprint = stack.enter_context(throw_away_key(home))
    gpg = ("gpg", "--batch", "--yes", "--homedir", str(home))
    run(*gpg, "--output", f"{home}.public", "--export", fingerprint)
    return lambda path: run(*gpg, "--output", f"{path}.sig", "--detach-sign", path)


def sign_with_minisign(home: Path, _: ExitStack) -> Sign:
    """Create a key and its public part ``HOME.public``; return what signs a file with it."""
    home.mkdir()
    minisign, secret = needed("minisign"), str(home / "secret")
    run(minisign, "-G", "-W", "-p", f"{home}.public", "-s", secret)
    return lambda path: run(minisign, "-S", "-s", secret, "-m", path)


PROGRAMS = {
    "gpgv": (sign_with_gpg, '"--keyring", "{key}", "{{signature}}", "{{file}}"', ".sig"),
    "minisign": (
        sign_with_minisign,
        '"-Vq", "-p", "{key}", "-x", "{{signature}}", "-m", "{{file}}"',
        ".minisig",
    ),
}


@pytest.fixture
def keys() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_a_list_with_a_valid_signature_is_imported(
    name: str, program: Program, keys: ExitStack
) -> None:
    create, arguments, suffix = PROGRAMS[name]
    verifier = needed(name)
    sign = create(program.home / "ours", keys)
    sign_as_another = create(program.home / "another", keys)
    directory = program.home / "incoming"
    arguments = arguments.format(key=program.home / "ours.public")
    with program.configuration.open("a") as file:
        file.write(f'[lists.police]\ndirectory = "{directory}"\nsignature = "{suffix}"\n')
        file.write(f'verify = ["{verifier}", {arguments}]\nfile = "police.txt"\n')

    def update() -> tuple[int, str]:
        result = program.run("lists", "update", "--json")
        assert b"internal error" not in result.stderr, result.stderr.decode()
        return result.returncode, objects(result.stdout)[0]["type"]

    path = directory / "police.txt"
    publish(directory, content(KNOWN[0]))
    sign(path)
    assert update() == (0, "imported")
    publish(directory, content(*KNOWN[:2]))
    assert update() == (2, "update-failed"), "changed after it was signed"
    sign_as_another(path)
    assert update() == (2, "update-failed"), "signed with another key"
