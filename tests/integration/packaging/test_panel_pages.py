"""The read-only pages for WHM and DirectAdmin: registration as documented, and what they print."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PANELS = Path(__file__).parents[3] / "packaging/panels"

STATUS = "PROTECTED  <script>alert(1)</script> & more"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "hashwacht"
    path.write_text(f'#!/bin/sh\n[ "$*" = status ] || exit 9\necho "{STATUS}"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Return a root directory with both panels; registering copies the file, as cPanel does."""
    programs = tmp_path / "top/usr/local/cpanel/bin"
    programs.mkdir(parents=True)
    apps = tmp_path / "top/var/cpanel/apps"
    apps.mkdir(parents=True)
    for name, script in (
        ("register_appconfig", f'cp "$1" "{apps}"'),
        ("unregister_appconfig", f'rm "{apps}/$1.conf"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\nset -e\n{script}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "top/usr/local/directadmin/plugins").mkdir(parents=True)
    return tmp_path / "top"


def install(top: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PANELS / "install", *arguments],
        env={"PATH": os.environ["PATH"], "TOP": str(top)},
        capture_output=True,
        text=True,
        check=False,
    )


def run(page: Path, program: Path, **environment: str) -> str:
    return subprocess.run(
        [page],
        env={"PATH": os.environ["PATH"], "HASHWACHT_PROGRAM": str(program), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def pairs(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_whm_is_registered_for_root_only(top: Path, program: Path) -> None:
    assert install(top, "whm").returncode == 0
    registration = pairs(top / "var/cpanel/apps/hashwacht.conf")
    assert registration["service"] == "whostmgr"
    assert (registration["user"], registration["acls"]) == ("root", "all")
    page = top / "usr/local/cpanel/whostmgr/docroot" / registration["url"].lstrip("/")
    assert str(page).endswith(registration["entryurl"])
    head, _, body = run(page, program, REMOTE_USER="root", REQUEST_METHOD="GET").partition("\n\n")
    assert "Content-Type: text/html; charset=utf-8" in head
    assert "default-src 'none'" in head
    assert "PROTECTED  &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in body
    assert "<script" not in body
    for user, method in (("resell", "GET"), ("root", "POST"), ("", "GET")):
        refused = run(page, program, REMOTE_USER=user, REQUEST_METHOD=method)
        assert refused.startswith("Status: 403")
        assert "PROTECTED" not in refused
    assert install(top, "--remove", "whm").returncode == 0
    assert not page.parent.exists()
    assert not (top / "var/cpanel/apps/hashwacht.conf").exists()


def test_directadmin_has_the_documented_structure(top: Path, program: Path) -> None:
    assert install(top, "directadmin").returncode == 0
    plugin = top / "usr/local/directadmin/plugins/hashwacht"
    settings = pairs(plugin / "plugin.conf")
    assert settings["id"] == plugin.name
    assert (settings["active"], settings["admin_run_as"]) == ("yes", "root")
    assert not {"user_run_as", "reseller_run_as"} & settings.keys()
    assert not [path for path in plugin.iterdir() if path.name in {"user", "reseller"}]
    assert "/CMD_PLUGINS_ADMIN/hashwacht" in (plugin / "hooks/admin_txt.html").read_text()
    for name in ("install", "uninstall", "update"):
        assert os.access(plugin / f"scripts/{name}.sh", os.X_OK)
    text = run(plugin / "admin/index.html", program)
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert install(top, "--remove", "directadmin").returncode == 0
    assert not plugin.exists()


def test_a_host_without_the_panel_is_refused(tmp_path: Path) -> None:
    for panel in ("whm", "directadmin"):
        result = install(tmp_path, panel)
        assert result.returncode == 1
        assert "is not installed here" in result.stderr
