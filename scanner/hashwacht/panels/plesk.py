"""Plesk: document roots, system users, customers and resellers from its database ``psa``.

``plesk db`` runs one query as root; no password is needed.  Subscriptions are directories of
``HTTPD_VHOSTS_D`` in ``/etc/psa/psa.conf``, by default ``/var/www/vhosts``.
"""

from __future__ import annotations

from collections.abc import Iterator

from hashwacht.panels.host import Host, join, text, within
from hashwacht.panels.sites import Site

CONFIGURATION = b"/etc/psa/psa.conf"

MARK = (CONFIGURATION,)

EXCLUDE = ("*/logs/", "*/statistics/", "system/", "chroot/", "fs/", "fs-passwd/")

PROGRAM = "/usr/sbin/plesk"

QUERY = (
    "SELECT d.name, h.www_root, s.login, s.home, c.login, IFNULL(v.login, '')"
    " FROM domains d JOIN hosting h ON h.dom_id = d.id JOIN sys_users s ON s.id = h.sys_user_id"
    " JOIN clients c ON c.id = d.cl_id LEFT JOIN clients v ON v.id = d.vendor_id"
)

_COLUMNS = 6
_NOT_DOMAINS = (b"default", b"system", b"chroot", b"fs", b"fs-passwd")


def read_sites(host: Host) -> Iterator[Site]:
    """Yield the sites of all subscriptions.  Raises ConfigurationError if the query fails."""
    directory = _vhosts(host)
    for line in host.run((PROGRAM, "db", "-Ne", QUERY)).splitlines():
        fields = line.split(b"\t")
        if len(fields) != _COLUMNS:
            continue
        domain, path, user, home, client, vendor = fields
        home = home.rstrip(b"/")
        reseller = "" if vendor in {b"", b"admin", client} else text(vendor)
        account = f"{text(client)}/{text(user)}"
        yield Site(path, home, "plesk", account, text(domain), reseller)
        if within(home, directory) and home.rpartition(b"/")[2] == domain:
            yield Site(home, home, "plesk", account, text(domain), reseller)
    for home in host.directories(directory):  # without hosting, or removed from the database
        name = home.rpartition(b"/")[2]
        if name not in _NOT_DOMAINS and host.is_directory(join(home, b"httpdocs")):
            yield Site(home, home, "plesk", "", text(name))


def _vhosts(host: Host) -> bytes:
    for line in host.lines(CONFIGURATION):
        key, _, value = line.partition(b" ")
        if key == b"HTTPD_VHOSTS_D":
            return value.strip().rstrip(b"/")
    return b"/var/www/vhosts"
