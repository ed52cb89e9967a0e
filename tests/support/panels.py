"""Generated trees with the documented files of each hosting panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hashwacht.panels.plesk import QUERY

PLESK_PROGRAM = ("/usr/sbin/plesk", "db", "-Ne", QUERY)


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def accounts(number: int) -> list[str]:
    return [f"u{index}" for index in range(number)]


def _home(top: Path, user: str, *inner: str) -> Path:
    path = top.joinpath("home", user, *inner)
    path.mkdir(parents=True, exist_ok=True)
    return path


def passwd(top: Path, users: Sequence[str], home: str = "/home") -> None:
    lines = [
        f"{user}:x:{1000 + i}:{1000 + i}::{home}/{user}:/bin/sh" for i, user in enumerate(users)
    ]
    write(top / "etc/passwd", "\n".join(["root:x:0:0:root:/root:/bin/bash", *lines, ""]))


def cpanel(top: Path, users: Sequence[str]) -> None:
    passwd(top, users)
    lines = []
    for user in users:
        _home(top, user, "public_html")
        path, rest = f"/home/{user}/public_html", "192.0.2.1:80======0==ea-php83"
        lines.append(f"{user}.example: {user}==resell==main=={user}.example=={path}=={rest}")
        addon = f"/home/{user}/shop-{user}.example"
        lines.append(f"shop-{user}.example: {user}==resell==addon=={user}.example=={addon}=={rest}")
    write(top / "etc/userdatadomains", "\n".join([*lines, ""]))


def cpanel_userdata(top: Path, users: Sequence[str]) -> None:
    passwd(top, users)
    for user in users:
        _home(top, user, "public_html")
        directory = top / "var/cpanel/userdata" / user
        write(directory / "main", f"---\nmain_domain: {user}.example\nsub_domains: []\n")
        text = f"documentroot: /home/{user}/public_html\nowner: resell\nuser: {user}\n"
        write(directory / f"{user}.example", f"---\n{text}")
        write(directory / f"{user}.example_SSL", f"---\n{text}")
        write(directory / "cache.json", "{}")


def directadmin(top: Path, users: Sequence[str]) -> None:
    passwd(top, users)
    write(top / "usr/local/directadmin/data/admin/admin.list", "admin\n")
    for user in users:
        _home(top, user, "domains", f"{user}.example", "public_html")
        directory = top / "usr/local/directadmin/data/users" / user
        write(directory / "user.conf", f"creator=resell\ndomain={user}.example\nusertype=user\n")
        write(directory / "domains.list", f"{user}.example\n")


def plesk(top: Path, users: Sequence[str]) -> None:
    write(
        top / "etc/psa/psa.conf", "PRODUCT_ROOT_D /usr/local/psa\nHTTPD_VHOSTS_D /var/www/vhosts\n"
    )
    for user in users:
        (top / f"var/www/vhosts/{user}.example/httpdocs").mkdir(parents=True)
    (top / "var/www/vhosts/system").mkdir(exist_ok=True)


def plesk_database(users: Sequence[str]) -> Callable[[Sequence[str]], bytes]:
    """Return what answers the query as ``plesk db`` does."""

    def run(arguments: Sequence[str]) -> bytes:
        assert tuple(arguments) == PLESK_PROGRAM
        homes = [(user, f"/var/www/vhosts/{user}.example") for user in users]
        rows = [
            f"{user}.example\t{home}/httpdocs\tsys-{user}\t{home}\tclient-{user}\tresell"
            for user, home in homes
        ]
        return "\n".join([*rows, ""]).encode()

    return run


def ispconfig(top: Path, users: Sequence[str]) -> None:
    (top / "usr/local/ispconfig/server").mkdir(parents=True)
    for index, user in enumerate(users):
        web = f"/var/www/clients/client{index}/web{index}"
        (top / f"{web[1:]}/web").mkdir(parents=True)
        write(
            top / f"etc/apache2/sites-enabled/100-{user}.example.vhost",
            f"<VirtualHost *:80>\n  DocumentRoot /var/www/{user}.example/web\n"
            f"  ServerName {user}.example\n  DocumentRoot {web}/web\n</VirtualHost>\n",
        )


def virtualmin(top: Path, users: Sequence[str]) -> None:
    for index, user in enumerate(users):
        _home(top, user, "public_html")
        base = top / "etc/webmin/virtual-server/domains"
        write(
            base / f"1{index:06}",
            f"dom={user}.example\nuser={user}\nhome=/home/{user}\nreseller=resell\n"
            f"public_html_path=/home/{user}/public_html\npass=secret\n",
        )
        write(
            base / f"2{index:06}",
            f"dom=sub-{user}.example\nuser={user}\nparent=1{index:06}\n"
            f"home=/home/{user}/domains/sub-{user}.example\npublic_html_dir=public_html\n",
        )


def froxlor(top: Path, users: Sequence[str]) -> None:
    for user in users:
        (top / f"var/customers/webs/{user}/{user}.example").mkdir(parents=True)
        write(
            top / f"etc/nginx/sites-enabled/35_froxlor_normal_vhost_{user}.example.conf",
            f"server {{\n  server_name {user}.example www.{user}.example;\n"
            f"  root /var/customers/webs/{user}/{user}.example/;\n}}\n",
        )


def hestia(top: Path, users: Sequence[str]) -> None:
    passwd(top, users)
    for user in users:
        _home(top, user, "web", f"{user}.example", "public_html")
        write(
            top / f"usr/local/hestia/data/users/{user}/web.conf",
            f"DOMAIN='{user}.example' IP='192.0.2.1' ALIAS='www.{user}.example' TPL='default'"
            f" CUSTOM_DOCROOT='' SSL='yes'\n",
        )


def cloudpanel(top: Path, users: Sequence[str]) -> None:
    (top / "home/clp/htdocs/app").mkdir(parents=True)
    for user in users:
        _home(top, user, "htdocs", f"{user}.example")
        write(
            top / f"etc/nginx/sites-enabled/{user}.example.conf",
            f"server {{\n  server_name {user}.example;\n"
            f"  root /home/{user}/htdocs/{user}.example;\n}}\n",
        )


LAYOUTS: dict[str, Callable[[Path, Sequence[str]], None]] = {
    "cpanel": cpanel,
    "plesk": plesk,
    "directadmin": directadmin,
    "ispconfig": ispconfig,
    "virtualmin": virtualmin,
    "froxlor": froxlor,
    "hestia": hestia,
    "cloudpanel": cloudpanel,
}
