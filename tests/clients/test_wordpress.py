"""The plugin for WordPress, with WordPress' own functions for hooks and uploads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.clients.hosting import HARMLESS, LISTED, HostingMachine
from support.clients.servers import free_port, running

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "hooks" / "hashwacht-wordpress.php"
WORDPRESS = ROOT / ".venv" / "clients" / "usr" / "share" / "wordpress"
SITE = ROOT / "tests" / "support" / "clients" / "wordpress.php"


@contextmanager
def wordpress(content: Path, socket: Path, policy: str = "") -> Iterator[str]:
    port = free_port()
    environment = {
        "WORDPRESS": str(WORDPRESS),
        "CONTENT": str(content),
        "SOCKET": str(socket),
        "PLUGIN": str(PLUGIN),
        "POLICY": policy,
    }
    command = ["php", "-S", f"127.0.0.1:{port}", str(SITE)]
    with running(command, port, content / "log", environment):
        yield f"http://127.0.0.1:{port}/"


def upload(address: str, content: bytes, name: str = "ä b.png") -> dict[str, str]:
    response = httpx.post(address, files={"file": (name, content, "image/png")}, timeout=120)
    assert response.headers["Content-Type"] == "application/json", response.text
    result: dict[str, str] = response.json()
    return result


def test_a_listed_picture_is_refused_before_it_is_stored(
    machine: HostingMachine, place: Path
) -> None:
    with wordpress(place, machine.daemon.http) as address:
        stored = upload(address, HARMLESS)
        refused = upload(address, LISTED)
    assert Path(stored["file"]).read_bytes() == HARMLESS
    context = machine.shown(refused["error"])
    assert refused == {"error": f"This upload cannot be accepted. (reference {context.event})"}
    assert (context.user, context.address) == ("wanda", "127.0.0.1")
    assert (context.file_name, context.declared_type) == ("ä b.png", "image/png")


def test_an_outage_is_no_pass_unless_configured(place: Path) -> None:
    with wordpress(place, place / "none") as address:
        refused = upload(address, HARMLESS)
    assert refused == {"error": "This upload cannot be accepted at the moment."}
    with wordpress(place, place / "none", "pass") as address:
        assert "file" in upload(address, HARMLESS)
