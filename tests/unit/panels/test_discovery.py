"""Accounts, domains and document roots of each panel, from its documented files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from hashwacht.core.errors import ConfigurationError
from hashwacht.panels import vhosts
from hashwacht.panels.discovery import PANELS, Discovery, discover
from hashwacht.panels.host import MAX_FILE_SIZE, Host, run_query, within
from hashwacht.panels.sites import Site, SiteMap, write_sites
from hashwacht.walk.rules import ExclusionRules, parse_rules
from support import panels

EXPECTED = {
    "cpanel": ("/home", "/home/u1/shop-u1.example", "u1", "shop-u1.example", "resell"),
    "plesk": (
        "/var/www/vhosts",
        "/var/www/vhosts/u1.example/httpdocs",
        "client-u1/sys-u1",
        "u1.example",
        "resell",
    ),
    "directadmin": (
        "/home",
        "/home/u1/domains/u1.example/public_html",
        "u1",
        "u1.example",
        "resell",
    ),
    "ispconfig": (
        "/var/www/clients",
        "/var/www/clients/client1/web1",
        "client1/web1",
        "u1.example",
        "",
    ),
    "virtualmin": (
        "/home",
        "/home/u1/domains/sub-u1.example/public_html",
        "u1",
        "sub-u1.example",
        "resell",
    ),
    "froxlor": (
        "/var/customers/webs",
        "/var/customers/webs/u1/u1.example",
        "u1",
        "u1.example",
        "",
    ),
    "hestia": ("/home", "/home/u1/web/u1.example", "u1", "u1.example", ""),
    "cloudpanel": ("/home", "/home/u1/htdocs/u1.example", "u1", "u1.example", ""),
}


def found(top: Path, users: Sequence[str] = (), name: str = "") -> Discovery:
    return discover(Host(os.fsencode(top), panels.plesk_database(users)), name)


@pytest.mark.parametrize("panel", [panel.name for panel in PANELS])
def test_every_panel_is_read_by_its_documented_layout(panel: str, tmp_path: Path) -> None:
    users = panels.accounts(3)
    panels.LAYOUTS[panel](tmp_path, users)
    discovery = found(tmp_path, users)
    base, path, account, domain, reseller = EXPECTED[panel]
    assert discovery.panel.name == panel
    assert [os.fsdecode(root.path) for root in discovery.roots] == [base]
    assert discovery.left_out == ()
    (site,) = (site for site in discovery.sites if site.path == path.encode())
    assert (site.account, site.domain, site.reseller) == (account, domain, reseller)
    assert discovery.accounts >= len(users)


@pytest.mark.parametrize("panel", [panel.name for panel in PANELS])
def test_the_exclusions_are_rules_and_leave_every_site_in(panel: str, tmp_path: Path) -> None:
    users = panels.accounts(2)
    panels.LAYOUTS[panel](tmp_path, users)
    discovery = found(tmp_path, users)
    (root,) = discovery.roots
    rules = ExclusionRules(parse_rules(root.exclude, "panel"))
    for site in discovery.sites:
        _, rule = rules.trace(site.path, directory=True)
        assert rule is None, (site.path, rule)


def test_cpanel_without_its_list_is_read_from_userdata(tmp_path: Path) -> None:
    panels.cpanel_userdata(tmp_path, ["u0"])
    sites = {site.path: site for site in found(tmp_path).sites}
    assert set(sites) == {b"/home/u0", b"/home/u0/public_html"}
    assert sites[b"/home/u0/public_html"].domain == "u0.example"
    assert sites[b"/home/u0"].reseller == "resell"


def test_several_file_systems_of_homes_are_several_roots(tmp_path: Path) -> None:
    panels.cpanel(tmp_path, ["u0"])
    with (tmp_path / "etc/passwd").open("a") as file:
        file.write("u1:x:1:1::/home2/u1:/bin/sh\n")
    with (tmp_path / "etc/userdatadomains").open("a") as file:
        file.write("b.example: u1==root==main==b.example==/home2/u1/public_html==x\n")
    (tmp_path / "home2/u1").mkdir(parents=True)
    discovery = found(tmp_path)
    assert [(root.name, root.path) for root in discovery.roots] == [
        ("panel-home", b"/home"),
        ("panel-home2", b"/home2"),
    ]
    assert {site.reseller for site in discovery.sites if b"home2" in site.path} == {""}


def test_a_document_root_elsewhere_gets_its_own_root(tmp_path: Path) -> None:
    panels.virtualmin(tmp_path, ["u0"])
    panels.write(
        tmp_path / "etc/webmin/virtual-server/domains/3",
        "dom=x.example\nuser=u0\nhome=/home/u0\npublic_html_path=/srv/sites/x\n",
    )
    (tmp_path / "srv/sites/x").mkdir(parents=True)
    assert [root.path for root in found(tmp_path).roots] == [b"/home", b"/srv/sites/x"]


def test_a_root_that_is_configured_is_left_out(tmp_path: Path) -> None:
    panels.cpanel(tmp_path, ["u0"])
    discovery = discover(Host(os.fsencode(tmp_path)), configured=[b"/home"])
    assert discovery.roots == ()
    assert discovery.left_out == ("/home: configured as a root already",)


def test_links_of_customers_are_not_followed(tmp_path: Path) -> None:
    panels.cloudpanel(tmp_path, ["u0"])
    (tmp_path / "etc/secret/htdocs").mkdir(parents=True)
    (tmp_path / "home/evil").symlink_to(tmp_path / "etc/secret")
    (tmp_path / "home/u1").mkdir()
    (tmp_path / "home/u1/htdocs").symlink_to(tmp_path / "etc")
    assert {site.account for site in found(tmp_path).sites} == {"u0"}


def test_a_base_that_is_a_link_is_left_out(tmp_path: Path) -> None:
    panels.cpanel(tmp_path, ["u0"])
    (tmp_path / "home").rename(tmp_path / "data")
    (tmp_path / "home").symlink_to(tmp_path / "data")
    discovery = found(tmp_path)
    assert discovery.roots == ()
    assert discovery.left_out == ("/home: not a directory, or reached through a link",)


def test_names_that_look_like_options_or_paths_stay_names(tmp_path: Path) -> None:
    names = ["--help", "-rf", "..", "a/../../etc", "x\n[roots.evil]", "\udcff\udcfe", '"; #']
    users = tmp_path / "usr/local/directadmin/data/users"
    (tmp_path / "home").mkdir()
    for index, name in enumerate(names):
        directory = users / (name if "/" not in name and name != ".." else f"u{index}")
        directory.mkdir(parents=True)
        (directory / "user.conf").write_bytes(b"creator=" + os.fsencode(name) + b"\n")
        (directory / "domains.list").write_bytes(os.fsencode(name) + b"\n")
    discovery = found(tmp_path)
    assert [root.path for root in discovery.roots] == [b"/home"]
    for site in discovery.sites:
        assert site.path.startswith(b"/home/")
        assert os.path.normpath(site.path) == site.path
        assert all(text.isprintable() for text in site.to_json().values())
    assert "--help" in {site.account for site in discovery.sites}


@pytest.mark.parametrize("path", ["/", "/etc", "relative", "/home/u0/../../etc", "/home//u0"])
def test_a_strange_document_root_makes_no_root(tmp_path: Path, path: str) -> None:
    panels.cpanel(tmp_path, ["u0"])
    (tmp_path / "etc").mkdir(exist_ok=True)
    with (tmp_path / "etc/userdatadomains").open("a") as file:
        file.write(f"evil.example: u0==root==addon==u0.example=={path}==x\n")
    assert [root.path for root in found(tmp_path).roots] == [b"/home"]


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    panels.cpanel(tmp_path, ["u0"])
    os.truncate(tmp_path / "etc/userdatadomains", MAX_FILE_SIZE + 1)
    with pytest.raises(ConfigurationError, match="userdatadomains: not a file of a panel"):
        found(tmp_path)


def test_ten_thousand_accounts_need_one_root(tmp_path: Path) -> None:
    users = panels.accounts(10_000)
    panels.passwd(tmp_path, users)
    (tmp_path / "home").mkdir()
    lines = [
        f"{user}.example: {user}==root==main==x==/home/{user}/public_html==y" for user in users
    ]
    panels.write(tmp_path / "etc/userdatadomains", "\n".join(lines))
    discovery = found(tmp_path)
    assert len(discovery.roots) == 1
    assert len(discovery.sites) == 20_000
    assert write_sites(tmp_path, discovery.sites)
    site = SiteMap(tmp_path).of(b"/home/u9999/public_html/a/b.jpg")
    assert site is not None
    assert site["domain"] == "u9999.example"


def test_the_document_roots_of_ispconfig_are_compared_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, compared = panels.accounts(100), list[bytes]()

    def counted(path: bytes, directory: bytes) -> bool:
        compared.append(path)
        return within(path, directory)

    monkeypatch.setattr(vhosts, "within", counted)
    panels.ispconfig(tmp_path, users)
    sites = {site.account: site.domain for site in found(tmp_path).sites}
    assert sites["client99/web99"] == "u99.example"
    assert len(compared) == len({*compared}) == 100


def test_no_panel_and_no_account_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no hosting panel was found") as caught:
        found(tmp_path)
    assert "--panel" in caught.value.advice
    (tmp_path / "usr/local/directadmin/data/users").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="DirectAdmin has no account"):
        found(tmp_path)


def test_a_query_that_fails_reports_why() -> None:
    with pytest.raises(ConfigurationError, match="/bin/false ended with exit code 1"):
        run_query(["/bin/false"])
    with pytest.raises(ConfigurationError, match="No such file"):
        run_query(["/nonexistent/plesk"])
    assert run_query(["/bin/echo", "row"]) == b"row\n"


def test_the_innermost_site_is_found_and_changes_are_read(tmp_path: Path) -> None:
    sites = SiteMap(tmp_path)
    assert sites.of(b"/home/a/x") is None
    home = Site(b"/home/a", b"/home/a", "cpanel", "a", "a.example", "r")
    odd = Site(b"/home/a/\xff", b"/home/a", "cpanel", "a", "b.example", "r")
    assert write_sites(tmp_path, [home, odd])
    assert not write_sites(tmp_path, [odd, home])
    assert (sites.of(b"/home/a/\xff/c/d") or {})["domain"] == "b.example"
    assert (sites.of(b"/home/a/other") or {})["domain"] == "a.example"
    assert sites.of(b"/home/ab") is None
    assert write_sites(tmp_path, [])
    assert sites.of(b"/home/a") is None
    for damaged in ("damaged", "[]\n", '{"v": 1}\n[]\n'):
        (tmp_path / "panel-sites.json").write_text(damaged)
        assert sites.of(b"/home/a") is None
