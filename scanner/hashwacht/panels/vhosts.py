"""Panels whose accounts are in a database: ISPConfig, Froxlor and CloudPanel.

Their customers' directories have a fixed layout, and the configuration of the web server, which
they generate, has the domains: ``ServerName`` and ``DocumentRoot`` of Apache, ``server_name`` and
``root`` of nginx.  Resellers are in the database only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from hashwacht.panels.host import Host, join, text, within
from hashwacht.panels.sites import Site

ISPCONFIG_CLIENTS = b"/var/www/clients"
ISPCONFIG_MARK = (b"/usr/local/ispconfig/server",)
ISPCONFIG_EXCLUDE = ("*/*/log/", "*/*/backup/", "*/*/tmp/")
_ISPCONFIG_PARTS = len((ISPCONFIG_CLIENTS + b"/client1/web1").split(b"/"))

FROXLOR_WEBS = b"/var/customers/webs"
FROXLOR_MARK = (FROXLOR_WEBS,)
FROXLOR_EXCLUDE = ("*/awstats/", "*/goaccess/")

CLOUDPANEL_MARK = (b"/home/clp",)
CLOUDPANEL_EXCLUDE = ("*/logs/", "*/backups/", "*/tmp/", "clp/")

_VHOSTS = (b"/etc/apache2/sites-enabled", b"/etc/nginx/sites-enabled", b"/etc/httpd/conf.d")
_DIRECTIVE = re.compile(
    rb'^\s*(ServerName|DocumentRoot|server_name|root)\s+"?([^\s";]+)', re.MULTILINE | re.IGNORECASE
)


def read_ispconfig(host: Host) -> Iterator[Site]:
    """Yield the sites ``clientN/webN`` of ISPConfig, whose document root is ``web`` in them."""
    domains: dict[bytes, bytes] = {}
    for path, domain in _document_roots(host):
        if within(path, ISPCONFIG_CLIENTS):
            domains.setdefault(b"/".join(path.split(b"/")[:_ISPCONFIG_PARTS]), domain)
    for client in host.directories(ISPCONFIG_CLIENTS):
        account = text(client.rpartition(b"/")[2])
        yield Site(client, client, "ispconfig", account)
        for web in host.directories(client):
            name = f"{account}/{text(web.rpartition(b'/')[2])}"
            yield Site(web, client, "ispconfig", name, text(domains.get(web, b"")))


def read_froxlor(host: Host) -> Iterator[Site]:
    """Yield the customers of Froxlor and the document roots of their domains."""
    yield from _by_layout(host, host.directories(FROXLOR_WEBS), "froxlor", lambda home: home)


def read_cloudpanel(host: Host) -> Iterator[Site]:
    """Yield the users of CloudPanel and the document roots of their sites."""
    homes = (
        home
        for home in host.directories(b"/home")
        if home != b"/home/clp" and host.is_directory(join(home, b"htdocs"))
    )
    yield from _by_layout(host, homes, "cloudpanel", lambda home: join(home, b"htdocs"))


def _by_layout(
    host: Host, homes: Iterator[bytes], panel: str, published: Callable[[bytes], bytes]
) -> Iterator[Site]:
    by_home: dict[bytes, list[tuple[bytes, bytes]]] = {home: [] for home in homes}
    for path, domain in _document_roots(host):
        parts = path.split(b"/")
        for end in range(len(parts), 1, -1):
            if (home := b"/".join(parts[:end])) in by_home and within(path, published(home)):
                by_home[home].append((path, domain))
                break
    for home, sites in by_home.items():
        account = text(home.rpartition(b"/")[2])
        yield Site(home, home, panel, account)
        for path, domain in sites:
            if path != home:
                yield Site(path, home, panel, account, text(domain))


def _document_roots(host: Host) -> Iterator[tuple[bytes, bytes]]:
    """Yield each document root of the web server with the first domain that has it."""
    roots: dict[bytes, bytes] = {}
    for directory in _VHOSTS:
        for name in host.names(directory):
            domain = b""
            for directive, value in _DIRECTIVE.findall(host.read(join(directory, name))):
                if directive.lower() in {b"servername", b"server_name"}:
                    domain = value.partition(b":")[0]
                elif value.startswith(b"/") and domain:
                    roots.setdefault(value.rstrip(b"/"), domain)
    yield from roots.items()
