"""cPanel: ``/etc/userdatadomains``, or ``/var/cpanel/userdata`` while that is missing.

::

    example.org: alice==bob==main==example.org==/home/alice/public_html==192.0.2.1:80==...

The fields are user, owner (a reseller or root), type, main domain and document root; further ones
follow.  ``/var/cpanel/userdata/USER/DOMAIN`` has the same as YAML, one ``key: value`` in a line.
"""

from __future__ import annotations

from collections.abc import Iterator

from hashwacht.panels.host import Host, join, text
from hashwacht.panels.sites import Site

DOMAINS = b"/etc/userdatadomains"
USERDATA = b"/var/cpanel/userdata"

MARK = (b"/usr/local/cpanel/cpanel", DOMAINS, USERDATA)

EXCLUDE = (
    "virtfs/",
    *("*/mail/", "*/logs/", "*/access-logs/", "*/tmp/webalizer/", "*/tmp/awstats/"),
)
"""What cPanel keeps next to and in the homes of accounts that a web server does not publish.

``virtfs`` has bind mounts of the whole system, homes included, for each jailed shell.
"""

_FIELDS = 5
_OTHER_FILES = (b"main", b"cache", b"nobody")
_OTHER_SUFFIXES = (b"_SSL", b".cache", b".json", b".lock")


def read_sites(host: Host) -> Iterator[Site]:
    """Yield the sites of all accounts."""
    if lines := host.lines(DOMAINS):
        yield from _from_list(host, lines)
        return
    for directory in host.directories(USERDATA):
        user = directory.rpartition(b"/")[2]
        if user != b"nobody":
            yield from _from_userdata(host, directory, user)


def _from_list(host: Host, lines: list[bytes]) -> Iterator[Site]:
    for line in lines:
        domain, _, rest = line.partition(b": ")
        fields = rest.split(b"==")
        if len(fields) >= _FIELDS and fields[0] != b"nobody":
            user, owner, kind, _, path = fields[:_FIELDS]
            yield from _site(host, user, owner, domain, path, main=kind == b"main")


def _from_userdata(host: Host, directory: bytes, user: bytes) -> Iterator[Site]:
    main = host.pairs(join(directory, b"main"), b":").get(b"main_domain", b"")
    for name in host.names(directory):
        if name not in _OTHER_FILES and not name.endswith(_OTHER_SUFFIXES):
            pairs = host.pairs(join(directory, name), b":")
            if path := pairs.get(b"documentroot", b""):
                owner = pairs.get(b"owner", b"")
                yield from _site(host, user, owner, name, path, main=name == main)


def _site(
    host: Host, user: bytes, owner: bytes, domain: bytes, path: bytes, *, main: bool
) -> Iterator[Site]:
    home = host.home(user)
    names = (text(user), text(domain), "" if owner in {b"root", user} else text(owner))
    yield Site(path, home, "cpanel", *names)
    if main:
        yield Site(home, home, "cpanel", *names)
