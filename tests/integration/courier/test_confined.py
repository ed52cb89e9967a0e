"""The kernel refuses the courier to open a customer's file and the scanner to connect.

Real processes make the same calls as the daemon's processes, and then try.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hashwacht.courier.process import allowed_users
from hashwacht.ipc.sockets import listen
from hashwacht.platform.network import leave_network
from support.program import Program
from support.services.courier import courier

COURIER = """
import os, sys, threading
from pathlib import Path
from hashwacht.courier.process import courier_process
from hashwacht.platform.systemd import SystemdNotifier
from hashwacht.settings import load
from hashwacht.ipc.sockets import listen

customer = Path(sys.argv[2])
attempts = {
    "read": lambda: os.open(customer / "passport.jpg", os.O_RDONLY),
    "write": lambda: os.open(customer / "passport.jpg", os.O_WRONLY),
    "create": lambda: os.open(customer / "new", os.O_CREAT | os.O_WRONLY),
    "list": lambda: os.listdir(customer),
    "remove": lambda: os.unlink(customer / "passport.jpg"),
    "rename": lambda: os.rename(customer / "passport.jpg", customer / "other"),
    "link": lambda: os.link(customer / "passport.jpg", customer / "linked"),
    "state": lambda: os.open(customer.parent / "state.db", os.O_RDONLY),
    "parent's memory": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    "run": lambda: os.execv("/bin/cat", ["cat", str(customer / "passport.jpg")]),
}

class ConfinedProbe(SystemdNotifier):
    def ready(self):
        os.listdir("/etc/ssl")
        def attempt():
            for name, each in attempts.items():
                try:
                    each()
                except PermissionError:
                    continue
                except OSError as error:
                    print(name, error, flush=True)
                else:
                    print(name, "worked", flush=True)
            stop.set()
        threading.Thread(target=attempt).start()

stop = threading.Event()
settings = load({}, uid=0, file=Path(sys.argv[1])).settings
listening = listen(customer.parent / "courier.sock")
courier_process(settings, {}, listening, ConfinedProbe(), stop)
print("ended", flush=True)
"""


def has_landlock() -> bool:
    import ctypes

    return int(ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)) > 0


def test_a_hijacked_courier_cannot_open_a_customers_file(
    tmp_path: Path,
) -> None:
    """Everything is attempted by a thread of the serving process itself."""
    if not has_landlock():
        pytest.skip("this kernel has no Landlock")
    customer = tmp_path / "storage"
    customer.mkdir()
    (customer / "passport.jpg").write_bytes(b"secret")
    (tmp_path / "state.db").write_bytes(b"secret")
    configuration = tmp_path / "etc" / "hashwacht.toml"
    configuration.parent.mkdir()
    configuration.write_text(
        f'[roots.web]\npath = "{customer}"\n[matchers.hma]\nkind = "hma"\n'
        f'[credentials]\ndirectory = "{tmp_path}/etc/credentials"\n'
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", COURIER, configuration, customer],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ran.stdout, ran.returncode) == ("ended\n", 0), ran.stderr
    assert [path.name for path in customer.iterdir()] == ["passport.jpg"]


def test_a_running_courier_cannot_gain_privileges(program: Program) -> None:
    program.add_matcher("hma", "http://127.0.0.1:9")
    with courier(program) as running:
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        assert "NoNewPrivs:\t1\n" in status


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else to try it")
def test_only_the_scanners_user_may_connect(program: Program) -> None:
    """That holds even if the socket's mode permits every user."""
    program.add_matcher("hma", "http://127.0.0.1:9")
    with courier(program) as running:
        running.socket.chmod(0o777)
        running.socket.parent.chmod(0o755)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.chdir(running.socket.parent)  # the parent directories are irrelevant
                os.setuid(65534)
                with socket.socket(socket.AF_UNIX) as stranger:
                    stranger.settimeout(5)
                    stranger.connect(running.socket.name)
                    stranger.sendall(b"\1" * 12)
                    code = 0 if stranger.recv(1) == b"" else 2
            except ConnectionError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        running.process.send_signal(signal.SIGTERM)
        _, errors = running.process.communicate(timeout=10)
        assert b"refused a connection of user 65534" in errors


def test_the_owner_of_the_socket_is_the_scanner(tmp_path: Path) -> None:
    with listen(tmp_path / "courier.sock") as listening:
        assert allowed_users(listening) == {0, os.geteuid()}
        if os.geteuid() == 0:
            os.chown(tmp_path / "courier.sock", 4711, 4711)
            assert allowed_users(listening) == {0, 4711}


FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK)


def attempts_to_get_out() -> list[str]:
    """Attempt every way to the network; return those that succeeded."""
    import ctypes
    import errno

    out = []
    for family in FAMILIES:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                socket.socket(family, kind).close()
                out.append(f"{family.name} {kind.name}")
            except OSError:
                pass
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 1, ctypes.create_string_buffer(256)) != -1:
        out.append("io_uring")
    elif ctypes.get_errno() != errno.ENOSYS:
        out.append(f"io_uring: {os.strerror(ctypes.get_errno())}")
    return out


@pytest.mark.parametrize("user", [0, 65534])
def test_no_socket_leads_out_after_leaving_the_network(user: int) -> None:
    """That holds for root and nobody and for child processes, while Unix sockets keep working."""
    if user != os.geteuid() and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    master, slave = os.pipe()
    pid = os.fork()
    if pid == 0:
        outcome = "it raised"
        try:
            if user != os.geteuid():
                os.setuid(user)
            layers = leave_network()
            out = attempts_to_get_out()
            child = os.fork()
            if child == 0:
                os._exit(len(attempts_to_get_out()))
            out += ["a child"] * os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            first, second = socket.socketpair()
            first.send(b"x")
            assert second.recv(1) == b"x"
            outcome = f"skip: {layers['filter']}" if layers["filter"] else str(out)
        finally:
            os.write(slave, outcome.encode())
            os._exit(0)
    os.close(slave)
    with os.fdopen(master) as pipe:
        outcome = pipe.read()
    os.waitpid(pid, 0)
    if outcome.startswith("skip"):
        pytest.skip(outcome)
    assert outcome == "[]"
