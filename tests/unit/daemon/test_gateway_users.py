"""The users that may state for whom they ask."""

from __future__ import annotations

import os

from hashwacht.daemon.scanner_process import ACCOUNTS_INTERVAL, GatewayUsers


def test_the_accounts_are_read_again_only_after_a_while() -> None:
    now = 100.0
    users = GatewayUsers(lambda: now)
    first = users.uids()
    assert os.geteuid() in first
    now += ACCOUNTS_INTERVAL
    assert users.uids() is first
    now += 0.1
    assert users.uids() is not first
