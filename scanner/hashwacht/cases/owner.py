"""Whose file it is: the user of this machine that owns it."""

from __future__ import annotations

import os
import pwd


def account_of(fd: int) -> tuple[int, str]:
    """Give user id and name of an open file's owner; the name is empty if nobody has the id."""
    uid = os.fstat(fd).st_uid
    try:
        return uid, pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, ""
