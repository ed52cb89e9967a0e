"""DirectAdmin: ``/usr/local/directadmin/data/users/USER``.

``user.conf`` has ``creator`` (a reseller or an administrator) and ``domain`` (the main one);
``domains.list`` has one domain in a line.  The document root of a domain is
``HOME/domains/DOMAIN/public_html``, its subdomains are directories in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hashwacht.panels.host import Host, join, text
from hashwacht.panels.sites import Site

USERS = b"/usr/local/directadmin/data/users"

MARK = (USERS,)

EXCLUDE = ("*/imap/", "*/Maildir/", "*/backups/", "*/domains/*/logs/", "*/domains/*/stats/")

_ADMINISTRATORS = b"/usr/local/directadmin/data/admin/admin.list"


def read_sites(host: Host) -> Iterator[Site]:
    """Yield the sites of all accounts."""
    administrators = {b"root", *host.lines(_ADMINISTRATORS)}
    for directory in host.directories(USERS):
        user = directory.rpartition(b"/")[2]
        settings = host.pairs(join(directory, b"user.conf"))
        creator, home = settings.get(b"creator", b""), host.home(user)
        reseller = "" if creator in administrators else text(creator)
        yield Site(
            home, home, "directadmin", text(user), text(settings.get(b"domain", b"")), reseller
        )
        for domain in host.lines(join(directory, b"domains.list")):
            path = join(home, b"domains", domain, b"public_html")
            yield Site(path, home, "directadmin", text(user), text(domain), reseller)
