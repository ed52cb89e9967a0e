"""The account of a user id, including delegated ones."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from hashwacht.platform.accounts import Account, Accounts

OWN = pwd.getpwuid(os.getuid())


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    file = tmp_path / "subuid"
    file.write_text(
        f"# comment\nbroken:x:y\n{OWN.pw_name}:3000100000:65536\n4000000:3000200000:10\n"
        "nobody at all:3000300000:10\n"
    )
    return Accounts(file)


@pytest.mark.parametrize("uid", [3_000_100_000, 3_000_165_535])
def test_a_delegated_user_id_belongs_to_its_user(accounts: Accounts, uid: int) -> None:
    assert accounts.of(uid) == Account(OWN.pw_uid, OWN.pw_name)


def test_a_range_may_name_its_user_by_number(accounts: Accounts) -> None:
    assert accounts.of(3_000_200_009) == Account(4_000_000, "")


@pytest.mark.parametrize("uid", [3_000_099_999, 3_000_165_536, 3_000_300_000, 4_000_000])
def test_other_user_ids_are_accounts_of_their_own(accounts: Accounts, uid: int) -> None:
    assert accounts.of(uid) == Account(uid, "")


def test_the_owner_of_a_file_is_an_account(accounts: Accounts, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        assert accounts.owner(file.fileno()) == Account(OWN.pw_uid, OWN.pw_name)


def test_without_a_file_each_user_id_is_an_account(tmp_path: Path) -> None:
    assert Accounts(tmp_path / "missing").of(3_000_100_000) == Account(3_000_100_000, "")
