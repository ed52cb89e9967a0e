"""The messages of sd_notify(3), as the service manager's socket receives them."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht.platform.systemd import SystemdNotifier


class Manager:
    """The receiving end, as in systemd."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def receive_all(self) -> list[str]:
        """Receive all messages that have arrived."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    path = str(tmp_path / "notify") if request.param == "path" else f"@hw-{secrets.token_hex(8)}"
    manager = Manager(path)
    yield manager
    manager.close()


def test_every_step_of_a_process_is_reported(manager: Manager) -> None:
    notifier = SystemdNotifier(manager.address)
    notifier.ready()
    notifier.status("watching 3 roots")
    notifier.stopping()
    notifier.close()
    assert manager.receive_all() == ["READY=1", "STATUS=watching 3 roots", "STOPPING=1"]


def test_a_reload_carries_the_time_at_which_it_began(manager: Manager) -> None:
    notifier = SystemdNotifier(manager.address)
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    after = time.monotonic_ns() // 1000
    notifier.close()
    (message,) = manager.receive_all()
    assert message.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert before <= int(message.rpartition("=")[2]) <= after


def test_the_watchdog_is_fed_at_most_four_times_in_its_time(manager: Manager) -> None:
    now = [100.0]
    notifier = SystemdNotifier(manager.address, watchdog=8, clock=lambda: now[0])
    for _ in range(1000):
        notifier.keep_alive()
    assert manager.receive_all() == ["WATCHDOG=1"]
    now[0] += 1.9
    notifier.keep_alive()
    assert manager.receive_all() == []
    now[0] += 0.1
    notifier.keep_alive()
    assert manager.receive_all() == ["WATCHDOG=1"]
    notifier.close()


def test_without_a_watchdog_no_keepalive_is_sent(manager: Manager) -> None:
    notifier = SystemdNotifier(manager.address)
    notifier.keep_alive()
    notifier.close()
    assert manager.receive_all() == []


def test_an_unchanged_status_is_sent_once_in_one_line(manager: Manager) -> None:
    notifier = SystemdNotifier(manager.address)
    for _ in range(3):
        notifier.status("a name\nREADY=1\x1b[2J \udcff")
    notifier.close()
    assert manager.receive_all() == ["STATUS=a name READY=1 [2J  "]


def test_what_systemd_gives_is_understood(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000"}
    notifier = SystemdNotifier.from_environment({**environ, "WATCHDOG_PID": str(os.getpid())})
    notifier.keep_alive()
    notifier.close()
    assert manager.receive_all() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    "more", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}]
)
def test_a_watchdog_that_is_not_ours_is_not_fed(manager: Manager, more: dict[str, str]) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000", **more}
    notifier = SystemdNotifier.from_environment(environ)
    notifier.keep_alive()
    notifier.close()
    assert manager.receive_all() == []


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_socket_nothing_is_sent(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    manager = Manager(address or "unnamed")  # a relative path would reach it
    notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"})
    notifier.ready()
    notifier.keep_alive()
    notifier.close()
    assert manager.receive_all() == []
    assert not caplog.records
    manager.close()


def test_a_missing_service_manager_is_logged_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = SystemdNotifier(str(tmp_path / "gone"))
    notifier.ready()
    notifier.close()
    assert "cannot send READY" in caplog.text
