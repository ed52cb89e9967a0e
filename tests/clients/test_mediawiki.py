"""MediaWiki with PHP and SQLite refuses a listed picture in its upload form's interface."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.clients.documentation import documented
from support.clients.hosting import HARMLESS, LISTED, HostingMachine
from support.clients.servers import free_port, running

HOOK = "/usr/lib/hashwacht/hooks/mediawiki"
WIKI = Path("/usr/share/mediawiki")
PASSWORD = "a-long-password-42"


@contextmanager
def mediawiki(place: Path, hook: Path) -> Iterator[httpx.Client]:
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    install: list[str | Path] = [
        "php",
        WIKI / "maintenance/install.php",
        "--dbtype=sqlite",
        f"--dbpath={place}",
    ]
    install += [f"--confpath={place}", f"--server={server}", "--scriptpath=", "--dbname=wiki"]
    install += [f"--pass={PASSWORD}", "Wiki", "Admin"]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    (place / "images").mkdir()
    settings = place / "LocalSettings.php"
    with settings.open("a") as file:
        file.write("\n$wgEnableUploads = true;\n$wgUseImageMagick = false;\n")
        file.write(f"$wgUploadDirectory = '{place}/images';\n")
        file.write(documented("mediawiki", "php", {HOOK: hook}))
    command = ["php", "-S", f"127.0.0.1:{port}", "-t", str(WIKI)]
    with (
        running(command, port, place / "log", {"MW_CONFIG_FILE": str(settings)}),
        httpx.Client(base_url=server, timeout=120) as client,
    ):
        log_in(client)
        yield client


def token(client: httpx.Client, kind: str) -> str:
    query = {"action": "query", "meta": "tokens", "type": kind, "format": "json"}
    answer = client.get("/api.php", params=query).json()
    value: str = answer["query"]["tokens"][f"{kind}token"]
    return value


def log_in(client: httpx.Client) -> None:
    fields = {"action": "login", "lgname": "Admin", "lgpassword": PASSWORD, "format": "json"}
    answer = client.post("/api.php", data={**fields, "lgtoken": token(client, "login")}).json()
    assert answer["login"]["result"] == "Success", answer


def upload(client: httpx.Client, name: str, content: bytes) -> dict[str, object]:
    fields = {"action": "upload", "filename": name, "ignorewarnings": "1", "format": "json"}
    fields["token"] = token(client, "csrf")
    files = {"file": (name, content)}
    answer: dict[str, object] = client.post("/api.php", data=fields, files=files).json()
    return answer


def test_a_listed_picture_is_refused_with_its_event(machine: HostingMachine, place: Path) -> None:
    with mediawiki(place, machine.hook("mediawiki")) as client:
        assert "upload" in upload(client, "Harmless.png", HARMLESS)
        refused = str(upload(client, "Listed.png", LISTED))
    assert f"Hashwacht.Refused.{machine.shown(refused).event}" in refused
    stored = [path.name for path in (place / "images").rglob("*.png")]
    assert stored == ["Harmless.png"]


def test_an_outage_is_no_pass(machine: HostingMachine, place: Path) -> None:
    hook = machine.hook("mediawiki", "--socket", "/nowhere", "--seconds", "1")
    with mediawiki(place, hook) as client:
        assert "error" in upload(client, "Harmless.png", HARMLESS)
