"""Hestia (and Vesta, which it comes from): ``/usr/local/hestia/data/users/USER/web.conf``.

Each line is one domain as shell variables: ``DOMAIN='example.org' ... CUSTOM_DOCROOT='/home/...'``.
The document root is ``HOME/web/DOMAIN/public_html`` otherwise.  There are no resellers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hashwacht.panels.host import Host, join, text
from hashwacht.panels.sites import Site

USERS = (b"/usr/local/hestia/data/users", b"/usr/local/vesta/data/users")

MARK = USERS

EXCLUDE = ("*/mail/", "*/web/*/logs/", "*/web/*/stats/", "*/tmp/", "*/backup/")

_VARIABLE = re.compile(rb"(?:^|\s)([A-Z0-9_]+)='([^']*)'")


def read_sites(host: Host) -> Iterator[Site]:
    """Yield the sites of all users."""
    for users in USERS:
        for directory in host.directories(users):
            yield from _of_user(host, directory, directory.rpartition(b"/")[2])


def _of_user(host: Host, directory: bytes, user: bytes) -> Iterator[Site]:
    home = host.home(user)
    yield Site(home, home, "hestia", text(user))
    for line in host.lines(join(directory, b"web.conf")):
        values = dict(_VARIABLE.findall(line))
        domain = values.get(b"DOMAIN") or values.get(b"WEB_DOMAIN", b"")
        if domain:
            path = join(home, b"web", domain)
            yield Site(path, home, "hestia", text(user), text(domain))
            if custom := values.get(b"CUSTOM_DOCROOT", b"").rstrip(b"/"):
                yield Site(custom, home, "hestia", text(user), text(domain))
