"""copyparty refuses a listed file, and the case has the address and the user."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.clients.documentation import documented
from support.clients.hosting import HARMLESS, LISTED, HostingMachine
from support.clients.servers import free_port, running

HOOK, FILES = "/usr/lib/hashwacht/hooks/copyparty", "/srv/files"


@contextmanager
def copyparty(place: Path, hook: Path) -> Iterator[str]:
    (place / "files").mkdir()
    line = documented("copyparty", "sh", {HOOK: hook, FILES: place / "files"})
    port = free_port()
    options = ["-i", "127.0.0.1", "-p", str(port), "--no-thumb", "--no-mtag-ff", "-q"]
    command = [sys.executable, "-m", *shlex.split(line), *options]
    environment = {"HOME": str(place), "XDG_CONFIG_HOME": str(place / "config")}
    with running(command, port, place / "log", environment):
        yield f"http://127.0.0.1:{port}/"


def test_a_listed_file_is_refused_and_removed(machine: HostingMachine, place: Path) -> None:
    with copyparty(place, machine.hook("copyparty")) as address:
        harmless = httpx.put(address + "harmless.png", content=HARMLESS, timeout=120)
        refused = httpx.put(address + "listed.png", content=LISTED, timeout=120)
        files = {"f": ("form.png", LISTED)}
        form = httpx.post(address, data={"act": "bput"}, files=files, timeout=120)
    assert harmless.status_code == 201
    assert refused.status_code >= 400
    assert form.status_code >= 400
    stored = [path.name for path in (place / "files").glob("*.png")]
    assert stored == ["harmless.png"]
    contexts = [context for context in machine.contexts() if context.path == "listed.png"]
    assert contexts[0].address == "127.0.0.1"


def test_an_outage_is_no_pass(machine: HostingMachine, place: Path) -> None:
    hook = machine.hook("copyparty", "--socket", "/nowhere", "--seconds", "1")
    with copyparty(place, hook) as address:
        refused = httpx.put(address + "harmless.png", content=HARMLESS, timeout=120)
    assert refused.status_code >= 400
    assert not (place / "files" / "harmless.png").exists()
