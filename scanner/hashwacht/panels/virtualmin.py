"""Virtualmin: one file in ``/etc/webmin/virtual-server/domains`` for each virtual server.

The keys are ``dom``, ``user``, ``home``, ``public_html_path`` (or ``public_html_dir`` in the home),
``reseller`` (several are separated by spaces), ``parent`` (the id of the server that a sub-server
belongs to) and ``alias``.
"""

from __future__ import annotations

from collections.abc import Iterator

from hashwacht.panels.host import Host, join, text
from hashwacht.panels.sites import Site

DOMAINS = b"/etc/webmin/virtual-server/domains"

MARK = (DOMAINS,)

EXCLUDE = (
    "*/Maildir/",
    "*/homes/*/Maildir/",
    "*/logs/",
    "*/domains/*/logs/",
    "*/virtualmin-backup/",
)


def read_sites(host: Host) -> Iterator[Site]:
    """Yield the sites of all virtual servers."""
    servers = {name: host.pairs(join(DOMAINS, name)) for name in host.names(DOMAINS)}
    for server in servers.values():
        if not (server.get(b"home") and server.get(b"dom")) or server.get(b"alias"):
            continue
        owner = servers.get(server.get(b"parent", b""), server)
        home = owner.get(b"home", server[b"home"]).rstrip(b"/")
        inner = server.get(b"public_html_dir", b"") or b"public_html"
        path = server.get(b"public_html_path", b"") or server[b"home"].rstrip(b"/") + b"/" + inner
        account, domain = text(owner.get(b"user", b"")), text(server[b"dom"])
        reseller = text(owner.get(b"reseller", b""))
        yield Site(path.rstrip(b"/"), home, "virtualmin", account, domain, reseller)
        yield Site(server[b"home"].rstrip(b"/"), home, "virtualmin", account, domain, reseller)
