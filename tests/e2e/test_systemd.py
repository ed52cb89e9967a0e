"""A machine under a real systemd: install, start, kill, reload, stop, uninstall.

Everything follows the instructions of ``docs/daemon.md``.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.pictures import encode, photo
from hashwacht.core.events import Event
from support.machine import Machine, booted_machine

CHECKOUT = Path(__file__).parents[2]
SERVICES = ("hashwacht-scanner.service", "hashwacht-courier.service")

KNOWN = encode(photo(1, (200, 200)), "jpeg")
KNOWN_ONE = hashlib.sha256(KNOWN).hexdigest()
"""What the hash list holds by its digest."""
LIKE = photo(2, (300, 200))
"""What it holds by its PDQ hash."""
OTHER = encode(photo(3, (200, 200)), "jpeg")

CONFIGURATION = """
[roots.web]
path = "/srv/www"
[roots.strict]
path = "/srv/strict"
on_exact_match = "quarantine"
on_similar_match = "hold"
[quarantine]
recipients = ["{recipient}"]
[alerts.webhook]
url = "http://127.0.0.1:9"
credentials = "hook"
{more}
"""
MOVING = '[roots.moving]\npath = "/var/www/site"\n'
"""On the machine's own file system, an overlay, of which fanotify knows nothing."""
PASSWORD = "open-sesame"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Install and start everything on a fresh machine."""
    with booted_machine(CHECKOUT, tmp_path_factory.mktemp("machine")) as machine:
        install(machine)
        yield machine


def install(machine: Machine) -> None:
    machine.run("PIP_NO_INDEX=1 make --silent -C /opt/checkout install-systemd")
    machine.run("mkdir -p /srv/www /srv/strict /var/www/site")
    key = machine.json("hashwacht quarantine keygen /root/key.txt --json")
    configure(machine, key["public_key"], MOVING)
    machine.write("/root/like.png", encode(LIKE, "png"))
    machine.run("hashwacht hash /root/like.png | grep -o 'pdq:[0-9a-f]*' | cut -d: -f2 > /root/pdq")
    machine.write("/root/known", KNOWN_ONE.encode())
    machine.run("hashwacht lists import police --type sha256 /root/known")
    machine.run("hashwacht lists import hotline --type pdq /root/pdq")
    machine.run(f"echo 'hook:{PASSWORD}' > /etc/hashwacht/credentials/hook")
    machine.run("chmod 600 /etc/hashwacht/credentials/hook")
    impatient = b"[Service]\nWatchdogSec=4s\n"
    machine.write("/etc/systemd/system/hashwacht-scanner.service.d/test.conf", impatient)
    machine.run("hashwacht units --write && systemctl daemon-reload")
    machine.run("systemctl enable --now hashwacht.target")
    wait_until_watching(machine)


def configure(machine: Machine, recipient: str, more: str = "") -> None:
    text = CONFIGURATION.format(recipient=recipient, more=more)
    machine.write("/etc/hashwacht/hashwacht.toml", text.encode())


def status(machine: Machine) -> dict[str, Any]:
    status: dict[str, Any] = machine.json("hashwacht status --json")
    return status


def wait_for(machine: Machine, condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; if it does not hold in time, fail with the machine's status."""
    try:
        machine.wait_for(condition, what=what)
    except AssertionError as error:
        ask = "hashwacht status; journalctl --no-pager -n 60 -o cat -u 'hashwacht-*'"
        raise AssertionError(f"{error}\n{machine.run(ask, ok=False)}") from None


def wait_until_watching(machine: Machine) -> None:
    """Wait until the present scanner process, not an earlier one, watches all roots."""

    def watching() -> bool:
        report = status(machine)
        grave = [problem for problem in report["problems"] if problem["critical"]]
        return not grave and report["scanner"]["pid"] == process(machine, "scanner")

    wait_for(machine, watching, "a scanner that watches")


def place(machine: Machine, path: str, content: str) -> dict[str, Any] | None:
    """Return the state of the file at *path*, if its content has a case."""
    output = machine.run(f"hashwacht cases show {content} --json", ok=False)
    places = json.loads(output)["files"] if output else []
    return next((location for location in places if location["path"] == path), None)


def wait_for_place(
    machine: Machine, path: str, content: str = KNOWN_ONE, state: str = "observed"
) -> None:
    """Wait until there is a case with that file in that state."""

    def there() -> bool:
        location = place(machine, path, content)
        return location is not None and location["state"] == state

    wait_for(machine, there, f"{path} as {state}")


def process(machine: Machine, name: str) -> int:
    return int(machine.property(f"hashwacht-{name}.service", "MainPID"))


def inside(machine: Machine, name: str, command: str) -> str:
    """Run a command as root in the file system and the network of a service."""
    number = process(machine, name)
    return machine.run(f"nsenter -t {number} -m -n -r {command} 2>&1", ok=False)


def test_every_service_is_up_and_said_so_itself(machine: Machine) -> None:
    for service in SERVICES:
        assert machine.property(service, "ActiveState") == "active"
        assert machine.property(service, "Type") == "notify"
    assert "watching" in machine.property(SERVICES[0], "StatusText")
    assert machine.property("hashwacht-watcher.service", "ActiveState") == "inactive"
    report = status(machine)
    assert not [problem for problem in report["problems"] if problem["critical"]]
    assert all(root["problem"] == "" for root in report["roots"])


def test_an_upload_that_a_list_knows_becomes_a_case(machine: Machine) -> None:
    machine.write("/srv/www/new/folder/known.jpg", KNOWN)
    machine.write("/srv/www/new/folder/other.jpg", OTHER)
    wait_for_place(machine, "/srv/www/new/folder/known.jpg")
    assert machine.run("test -e /srv/www/new/folder/known.jpg && echo still") == "still"


def test_pictures_are_decoded_inside_all_layers_of_the_sandbox(machine: Machine) -> None:
    like = encode(LIKE, "jpeg")
    machine.write("/srv/strict/like.jpg", like)
    wait_for_place(machine, "/srv/strict/like.jpg", hashlib.sha256(like).hexdigest(), "held")
    assert machine.run("stat -c %a /srv/strict/like.jpg") == "0"
    numbers = machine.run("pgrep hw-picture").split()
    for number in numbers:
        words = machine.run(f"cat /proc/{number}/status").split()
        assert words[words.index("Seccomp:") + 1] == "2"
        assert words[words.index("NoNewPrivs:") + 1] == "1"
    assert numbers


def test_a_file_is_taken_away_where_the_configuration_says_so(machine: Machine) -> None:
    machine.run("mkdir -p /srv/strict/alice && chown -R 1234:1234 /srv/strict/alice")
    machine.run("chmod 750 /srv/strict/alice")
    machine.write("/srv/strict/alice/known.jpg", KNOWN)
    machine.wait_for(lambda: machine.run("ls /srv/strict/alice") == "", what="the quarantine")
    wait_for_place(machine, "/srv/strict/alice/known.jpg", state="quarantined")
    machine.run(f"hashwacht cases restore {KNOWN_ONE} --identity /root/key.txt")
    assert machine.run("sha256sum < /srv/strict/alice/known.jpg").split()[0] == KNOWN_ONE


def test_the_scanner_has_no_network_and_writes_to_its_roots_only(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connect = f'import socket; socket.create_connection(("127.0.0.1", {port}), 3); print(1)'
        assert machine.run(f"/opt/hashwacht/bin/python -c '{connect}'") == "1"
        refused = inside(machine, "scanner", f"/opt/hashwacht/bin/python -c '{connect}'")
        assert "Error" in refused
    for path in ("/etc/x", "/usr/x", "/var/x", "/home/x", "/root/x", "/x"):
        assert "Read-only file system" in inside(machine, "scanner", f"touch {path}")
    assert inside(machine, "scanner", "touch /srv/www/.x") == ""
    capabilities = machine.run(f"grep CapBnd /proc/{process(machine, 'scanner')}/status").split()[1]
    names = {0: "CHOWN", 1: "DAC_OVERRIDE", 2: "DAC_READ_SEARCH", 3: "FOWNER", 28: "LEASE"}
    numbers = {number for number in range(64) if int(capabilities, 16) >> number & 1}
    assert numbers == names.keys()


def test_the_courier_sees_no_customers_file(machine: Machine) -> None:
    machine.write("/srv/www/public.txt", b"for everybody")
    machine.run("chmod 644 /srv/www/public.txt")
    for path in ("/srv/www/public.txt", "/var/lib/hashwacht/state.db", "/home", "/run/hashwacht"):
        assert "No such file" in inside(machine, "courier", f"ls {path}")
    number = process(machine, "courier")
    words = machine.run(f"cat /proc/{number}/status").split()
    assert words[words.index("Uid:") + 1] != "0"
    for name in ("CapEff:", "CapPrm:", "CapBnd:"):
        assert int(words[words.index(name) + 1], 16) == 0


def test_a_password_is_seen_by_the_courier_alone(machine: Machine) -> None:
    credential = "/run/credentials/hashwacht-courier.service/hashwacht_hook"
    assert PASSWORD in inside(machine, "courier", f"cat {credential}")
    for path in (credential, "/etc/hashwacht/credentials/hook"):
        assert PASSWORD not in inside(machine, "scanner", f"cat {path}")
    assert PASSWORD not in machine.run("systemctl show 'hashwacht-*'; journalctl --no-pager")


@pytest.mark.parametrize("name", ["scanner", "courier"])
def test_a_killed_process_is_restarted_automatically(machine: Machine, name: str) -> None:
    before, restarts = process(machine, name), int(_restarts(machine, name))
    machine.run(f"kill -9 {before}")
    machine.write(f"/srv/www/while-{name}-was-dead.jpg", KNOWN)
    machine.wait_for(lambda: process(machine, name) not in {0, before}, what=f"a new {name}")
    assert int(_restarts(machine, name)) == restarts + 1
    wait_for_place(machine, f"/srv/www/while-{name}-was-dead.jpg")


def test_a_scanner_that_hangs_is_killed_by_the_watchdog(machine: Machine) -> None:
    before = process(machine, "scanner")
    machine.run(f"kill -STOP {before}")
    machine.wait_for(lambda: process(machine, "scanner") not in {0, before}, what="a new scanner")
    assert "Watchdog timeout" in machine.run("journalctl --no-pager -u hashwacht-scanner -o cat")


def _restarts(machine: Machine, name: str) -> str:
    return machine.property(f"hashwacht-{name}.service", "NRestarts")


def test_a_reload_watches_a_new_root_in_the_same_process(machine: Machine) -> None:
    wait_until_watching(machine)
    before = process(machine, "scanner")
    machine.run("mkdir -p /srv/late")
    recipient = machine.run("grep -o 'age1[a-z0-9]*' /root/key.txt | head -1")
    configure(machine, recipient, f'{MOVING}[roots.late]\npath = "/srv/late"')
    machine.run("systemctl reload hashwacht-scanner")
    wait_until_watching(machine)
    machine.write("/srv/late/known.jpg", KNOWN)
    wait_for_place(machine, "/srv/late/known.jpg")
    assert process(machine, "scanner") == before


def test_a_reload_with_a_mistake_fails_and_changes_nothing(machine: Machine) -> None:
    wait_until_watching(machine)
    before = [process(machine, name) for name in ("scanner", "courier")]
    machine.run(
        "cd /etc/hashwacht && cp hashwacht.toml good && echo '[nonsense]' >> hashwacht.toml"
    )
    reload = "systemctl reload hashwacht-scanner hashwacht-courier"
    assert machine.run(f"{reload} || echo failed") == "failed"
    assert "nonsense: unknown key" in machine.run("journalctl --no-pager -u hashwacht-scanner")
    machine.run("mv /etc/hashwacht/good /etc/hashwacht/hashwacht.toml")
    assert [process(machine, name) for name in ("scanner", "courier")] == before
    machine.run(reload)
    machine.wait_for(
        lambda: process(machine, "courier") not in {0, before[1]}, what="a restarted courier"
    )
    assert process(machine, "scanner") == before[0]


def test_metrics_are_served_by_a_scanner_without_a_network(machine: Machine) -> None:
    machine.run("systemctl enable hashwacht-metrics.socket")
    machine.run("systemctl restart hashwacht.target")
    wait_until_watching(machine)
    asking = http.client.HTTPConnection("127.0.0.1", 9757, timeout=10)
    asking.request("GET", "/metrics")
    text = asking.getresponse().read().decode()
    asking.close()
    assert "hashwacht_scanner_up 1.0" in text
    assert machine.run("stat -c '%a %U' /run/hashwacht/metrics.sock") == "600 root"


def test_the_journal_finds_events_by_their_kind(machine: Machine) -> None:
    entries = [
        json.loads(line)
        for line in machine.run(
            f"journalctl --no-pager -o json MESSAGE_ID={Event.STARTED.value}"
        ).splitlines()
    ]
    assert {entry["_SYSTEMD_UNIT"] for entry in entries} == {"hashwacht-scanner.service"}
    assert {entry["HASHWACHT_EVENT"] for entry in entries} == {"started"}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"hashwacht-scanner"}


def test_a_renamed_or_mounted_over_root_stays_watched(
    machine: Machine,
) -> None:
    """The mounts of the unit do not hide the directory that replaces a root."""
    machine.run("cd /var/www && mv site former && mkdir site")
    machine.write("/var/www/site/after-renaming.jpg", KNOWN)
    wait_for_place(machine, "/var/www/site/after-renaming.jpg")
    machine.run("mount -t tmpfs tmpfs /var/www/site")
    machine.run("hashwacht hash /root/like.png > /var/www/site/text")
    machine.write("/var/www/site/after-mounting.jpg", KNOWN)
    wait_for_place(machine, "/var/www/site/after-mounting.jpg")
    assert inside(machine, "scanner", "touch /var/www/site/.writable") == ""
    machine.run("umount -l /var/www/site")


def test_fanotify_runs_in_a_process_with_two_capabilities(machine: Machine) -> None:
    recipient = machine.run("grep -o 'age1[a-z0-9]*' /root/key.txt | head -1")
    configure(machine, recipient, '[daemon]\nwatch_method = "fanotify"')
    impatient = b"[Service]\nWatchdogSec=3s\n"
    machine.write("/etc/systemd/system/hashwacht-watcher.service.d/test.conf", impatient)
    machine.run("systemctl daemon-reload && systemctl restart hashwacht-scanner")
    wait_until_watching(machine)
    assert machine.property("hashwacht-watcher.service", "ActiveState") == "active"
    assert {root["watch"] for root in status(machine)["roots"]} == {"fanotify"}
    machine.write("/srv/www/by-fanotify.jpg", KNOWN)
    wait_for_place(machine, "/srv/www/by-fanotify.jpg")
    machine.run("sleep 4")  # longer than the watchdog's limit
    assert _restarts(machine, "watcher") == "0"
    number = process(machine, "watcher")
    words = machine.run(f"cat /proc/{number}/status").split()
    capabilities = 1 << 21 | 1 << 2  # CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH
    assert int(words[words.index("CapEff:") + 1], 16) == capabilities
    assert int(words[words.index("CapBnd:") + 1], 16) == capabilities


def test_it_stops_in_order_and_can_be_taken_away(machine: Machine) -> None:
    machine.run("systemctl stop hashwacht.target")
    for service in SERVICES:
        machine.wait_for(
            lambda: machine.property(service, "ActiveState") == "inactive",  # noqa: B023  # now
            seconds=20,
            what=f"the end of {service}",
        )
        assert machine.property(service, "Result") == "success"
    report = status(machine)
    assert report["protection"] == "not-protected"
    assert any(problem["detail"].startswith("stopped ") for problem in report["problems"])
    machine.run("make --silent -C /opt/checkout uninstall-systemd")
    assert machine.run("systemctl list-unit-files 'hashwacht*' --no-legend", ok=False) == ""
    assert machine.run("ls /opt /usr/local/bin") == "/opt:\ncheckout\n\n/usr/local/bin:"
    assert "state.db" in machine.run("ls /var/lib/hashwacht")
    assert "hashwacht.toml" in machine.run("ls /etc/hashwacht")
