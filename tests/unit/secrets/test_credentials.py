from __future__ import annotations

import os
import stat
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend

from hashwacht.core.errors import CredentialError
from hashwacht.secrets import (
    Credential,
    SecretSource,
    SecretSources,
    delete_credential,
    environment_variable,
    load_credential,
    locate_credential,
    store_credential,
)

SECRET = "hunter2"
LINE = f"hoster:{SECRET}"


class MemoryKeyring(KeyringBackend):
    """A keyring backend as an administrator may have installed one."""

    priority = 1
    stored: dict[tuple[str, str], str] = {}  # noqa: RUF012  # keyring makes a new object every time

    def get_password(self, service: str, username: str) -> str | None:
        return self.stored.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.stored[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.stored[service, username]


class LockedKeyring(KeyringBackend):
    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        raise OSError(f"{service} {username} {SECRET}")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise OSError(f"{service} {username} {password}")


@pytest.fixture
def keyrings() -> Iterator[str]:
    """Register a module with the two backends above, as keyring loads them by name."""
    name = "keyrings_of_a_test"
    module = types.ModuleType(name)
    module.__dict__.update(Memory=MemoryKeyring, Locked=LockedKeyring)
    sys.modules[name] = module
    yield name
    del sys.modules[name]
    MemoryKeyring.stored.clear()


def private(path: Path, text: str = LINE, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def everywhere(tmp_path: Path, keyrings: str) -> SecretSources:
    for source in ("systemd", "files"):
        (tmp_path / source).mkdir()
    private(tmp_path / "systemd" / "eokm", "systemd:1\n", 0o440)
    MemoryKeyring.stored["hashwacht", "eokm"] = "keyring:2"
    private(tmp_path / "files" / "eokm", "file:3\n")
    return SecretSources(
        tmp_path / "files",
        f"{keyrings}.Memory",
        {
            "CREDENTIALS_DIRECTORY": str(tmp_path / "systemd"),
            "HASHWACHT_CREDENTIAL_EOKM": "environment:4",
        },
    )


def test_the_places_are_asked_in_their_order(tmp_path: Path, keyrings: str) -> None:
    sources = everywhere(tmp_path, keyrings)
    assert [status.source for status in locate_credential("eokm", sources)] == list(SecretSource)
    assert load_credential("eokm", sources) == Credential("systemd", "1")
    (tmp_path / "systemd" / "eokm").unlink()
    assert load_credential("eokm", sources) == Credential("keyring", "2")
    MemoryKeyring.stored.clear()
    assert load_credential("eokm", sources) == Credential("file", "3")
    (tmp_path / "files" / "eokm").unlink()
    assert load_credential("eokm", sources) == Credential("environment", "4")


def test_a_directory_loaded_by_systemd_is_found(
    tmp_path: Path,
) -> None:
    """The systemd units prefix each credential of a directory with ``hashwacht_``."""
    sources = SecretSources(environment={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    private(tmp_path / "hashwacht_eokm", "directory:1")
    assert load_credential("eokm", sources) == Credential("directory", "1")
    private(tmp_path / "eokm", "single:2")
    assert load_credential("eokm", sources) == Credential("single", "2")
    assert [status.location for status in locate_credential("eokm", sources)] == [
        str(tmp_path / "eokm"),
        str(tmp_path / "hashwacht_eokm"),
    ]


def test_check_says_where_and_never_what(tmp_path: Path, keyrings: str) -> None:
    sources = everywhere(tmp_path, keyrings)
    output = repr(locate_credential("eokm", sources))
    assert str(tmp_path / "files" / "eokm") in output
    for secret in ("systemd:1", "keyring:2", "file:3", "environment:4"):
        assert secret not in output
        assert secret not in repr(sources)


def test_nowhere_is_an_error_that_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="no credential named 'eokm'") as raised:
        load_credential("eokm", SecretSources(tmp_path / "missing"))
    assert "credentials set eokm" in raised.value.advice


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_a_file_accessible_to_others_is_refused_not_skipped(tmp_path: Path, mode: int) -> None:
    private(tmp_path / "eokm", mode=mode)
    sources = SecretSources(tmp_path, environment={"HASHWACHT_CREDENTIAL_EOKM": LINE})
    with pytest.raises(CredentialError, match=f"mode {mode:04o}") as raised:
        load_credential("eokm", sources)
    assert "chmod 600" in raised.value.advice
    assert [bool(status.problem) for status in locate_credential("eokm", sources)] == [True, False]


def test_a_file_of_mode_0400_is_fine(tmp_path: Path) -> None:
    private(tmp_path / "eokm", mode=0o400)
    assert load_credential("eokm", SecretSources(tmp_path)).user == "hoster"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(private(tmp_path / "eokm"), 12345, 12345)
    with pytest.raises(CredentialError, match="owned by user 12345"):
        load_credential("eokm", SecretSources(tmp_path))


def test_a_link_a_pipe_and_a_directory_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(private(tmp_path / "target"))
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(0o700)
    for name in ("link", "pipe", "directory"):
        with pytest.raises(CredentialError) as raised:
            load_credential(name, SecretSources(tmp_path))
        assert raised.value.advice


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        SECRET,
        f":{SECRET}",
        f"{SECRET}:",
        f"a:{SECRET}\nb:c",
        f"a:{SECRET}\x00",
        "x" * 70000,
    ],
)
def test_what_is_malformed_is_an_error_that_does_not_show_it(tmp_path: Path, text: str) -> None:
    private(tmp_path / "eokm", text)
    with pytest.raises(CredentialError, match="user:password") as raised:
        load_credential("eokm", SecretSources(tmp_path))
    assert SECRET not in f"{raised.value}{raised.value.advice}{raised.value.__cause__}"


def test_bytes_that_are_no_utf8_are_not_quoted(tmp_path: Path) -> None:
    path = private(tmp_path / "eokm")
    path.write_bytes(b"hoster:\xff" + SECRET.encode())
    with pytest.raises(CredentialError) as raised:
        load_credential("eokm", SecretSources(tmp_path))
    assert SECRET not in repr(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "/etc/shadow", "A", "-a", "a b", "a" * 65, "a\0"]
)
def test_a_name_cannot_lead_out_of_the_directory(tmp_path: Path, name: str) -> None:
    sources = SecretSources(tmp_path)
    for act in (lambda: load_credential(name, sources), lambda: delete_credential(name, sources)):
        with pytest.raises(CredentialError, match="not a valid name"):
            act()
    with pytest.raises(CredentialError, match="not a valid name"):
        store_credential(name, Credential("a", "b"), sources)


def test_store_writes_a_private_file_that_find_reads(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "credentials"
    old_mask = os.umask(0)
    try:
        where = store_credential(
            "eokm", Credential("hoster", "pass:wörd"), SecretSources(directory)
        )
    finally:
        os.umask(old_mask)
    assert where == str(directory / "eokm")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "eokm").stat().st_mode) == 0o600
    assert load_credential("eokm", SecretSources(directory)) == Credential("hoster", "pass:wörd")


def test_store_replaces_a_file_without_leaving_another(tmp_path: Path) -> None:
    for password in ("old", "new"):
        store_credential("eokm", Credential("hoster", password), SecretSources(tmp_path))
    assert load_credential("eokm", SecretSources(tmp_path)).password == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["eokm"]


def test_a_failed_store_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "eokm").mkdir()
    (tmp_path / "eokm" / "full").touch()
    with pytest.raises(CredentialError) as raised:
        store_credential("eokm", Credential("hoster", SECRET), SecretSources(tmp_path))
    assert raised.value.advice
    assert SECRET not in repr(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["eokm"]


def test_store_refuses_what_find_could_not_read(tmp_path: Path) -> None:
    for bad in (Credential("a:b", "c"), Credential("", "c"), Credential("a", "b\nc")):
        with pytest.raises(CredentialError):
            store_credential("eokm", bad, SecretSources(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_storing_prefers_the_keyring_and_deleting_clears_both(
    tmp_path: Path, keyrings: str
) -> None:
    sources = SecretSources(tmp_path, f"{keyrings}.Memory")
    where = store_credential("eokm", Credential("hoster", SECRET), sources)
    assert "keyring" in where
    assert SECRET not in where
    assert list(tmp_path.iterdir()) == []
    private(tmp_path / "eokm")
    assert len(delete_credential("eokm", sources)) == 2
    assert locate_credential("eokm", sources) == []
    assert delete_credential("eokm", sources) == []


def test_a_keyring_that_fails_or_is_missing_is_passed_over(tmp_path: Path, keyrings: str) -> None:
    private(tmp_path / "eokm")
    for name in (f"{keyrings}.Locked", "keyring.backends.fail.Keyring", "no.such.Backend", "x"):
        assert load_credential("eokm", SecretSources(tmp_path, name)).password == SECRET


def test_a_keyring_error_does_not_repeat_its_message(keyrings: str) -> None:
    with pytest.raises(CredentialError) as raised:
        store_credential(
            "eokm", Credential("hoster", SECRET), SecretSources(None, f"{keyrings}.Locked")
        )
    assert SECRET not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_no_keyring_is_loaded_unless_one_is_named(tmp_path: Path) -> None:
    private(tmp_path / "eokm")
    loaded = {module for module in sys.modules if module.startswith("keyring.")}
    load_credential("eokm", SecretSources(tmp_path))
    assert {module for module in sys.modules if module.startswith("keyring.")} == loaded


def test_nowhere_to_store_is_an_error() -> None:
    with pytest.raises(CredentialError, match="neither"):
        store_credential("eokm", Credential("a", "b"), SecretSources())


@given(
    st.text(st.characters(codec="utf-8", exclude_characters=":", min_codepoint=32), min_size=1),
    st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1),
)
def test_what_is_written_is_read_and_never_shown(user: str, password: str) -> None:
    credential = Credential(user, password)
    if "\x7f" not in user + password:
        assert Credential.parse(credential.to_line() + "\n") == credential
    assert repr(credential) == "Credential()"
    assert str(credential) == f"{credential}" == "Credential(...)"


@given(st.text(max_size=30))
def test_parsing_returns_a_credential_or_an_error_without_it(text: str) -> None:
    line = text.removesuffix("\n").removesuffix("\r")
    user, _, password = line.partition(":")
    if user and password and all(part >= " " and part != "\x7f" for part in line):
        assert Credential.parse(text) == Credential(user, password)
    else:
        with pytest.raises(CredentialError) as raised:
            Credential.parse(text)
        assert str(raised.value) == "a credential must be one line user:password"


def test_the_variable_of_a_name() -> None:
    assert environment_variable("arachnid-2") == "HASHWACHT_CREDENTIAL_ARACHNID_2"
