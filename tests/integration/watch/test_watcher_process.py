"""The watcher as a process: its privileges, and what happens when one side ends."""

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.ipc.codec import FrameSplitter, pack_frame
from hashwacht.watch.fanotify_client import PATIENCE, FanotifyWatch
from hashwacht.watch.fanotify_protocol import (
    AcknowledgeRequest,
    MissedReply,
    Ping,
    ReadyReply,
    RenewRequest,
    StreamReply,
    WatchRequest,
    WireAnnouncement,
    decode_reply,
    frame,
    pack_announcements,
)
from support.kernel import may_use_fanotify
from support.watch.watching import (
    OwnMounts,
    WatchRecorder,
    watcher_process,
    watching,
    write,
)

pytestmark = pytest.mark.skipif(not may_use_fanotify(), reason="fanotify needs CAP_SYS_ADMIN")

DEAD = {Cause.DEAD_WATCH}
TWO = f"{1 << 2 | 1 << 21:016x}"
"""CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "root"
    path.mkdir()
    return path


@pytest.fixture
def watch(socket_path: Path) -> FanotifyWatch:
    return FanotifyWatch(socket_path, patience=5)


def status(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_holds_two_capabilities_and_has_no_network(
    socket_path: Path, root: Path, watch: FanotifyWatch
) -> None:
    with watcher_process(socket_path) as process, watching(watch, [root]):
        fields = status(process.pid)
        assert {fields[f"Cap{name}"] for name in ("Eff", "Prm", "Bnd")} == {TWO}
        assert {int(fields[f"Cap{name}"], 16) for name in ("Inh", "Amb")} == {0}
        assert fields["NoNewPrivs"] == "1"
        assert socket_path.stat().st_mode & 0o777 == 0o600
        network = Path(f"/proc/{process.pid}/ns/net").readlink()
        assert network != Path("/proc/self/ns/net").readlink()
        interfaces = Path(f"/proc/{process.pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


ESCAPES = """
import ctypes, os, socket, sys, threading
from pathlib import Path
from hashwacht.watch.fanotify_daemon import serve

path, port = Path(sys.argv[1]), int(sys.argv[2])
host = os.open("/proc/self/ns/net", os.O_RDONLY)
socket.create_connection(("127.0.0.1", port)).close()

def connect():
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError as error:
        return error.strerror
    return "connected"

def attempt():
    print(connect())
    print("setns", ctypes.CDLL(None).setns(host, 0x4000_0000))
    print(os.readlink("/proc/self/ns/net") == os.readlink(f"/proc/self/fd/{host}"))
    print(connect())
    stop.set()

stop = threading.Event()
serve(path, stop, ready=attempt)
"""


def test_it_cannot_connect_even_in_the_hosts_network_namespace(socket_path: Path) -> None:
    """CAP_SYS_ADMIN permits setns(2); the filter refuses the socket there as well."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-c", ESCAPES, str(socket_path), str(server.getsockname()[1])]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    refused = os.strerror(errno.EAFNOSUPPORT)
    assert result.stdout.splitlines() == [refused, "setns 0", "True", refused]


def test_without_a_filter_it_refuses_to_run(socket_path: Path) -> None:
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from hashwacht.core.errors import ConfigurationError\n"
        "from hashwacht.platform import network\n"
        "from hashwacht.watch.fanotify_daemon import serve\n"
        "network._CALLS = {}\n"
        "try:\n"
        "    serve(Path(sys.argv[1]), threading.Event(), ready=lambda: print('serves'))\n"
        "except ConfigurationError as error:\n"
        "    print(error.message, '|', error.advice)\n"
    )
    command = [sys.executable, "-c", program, str(socket_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    assert "cannot give up the network: there is no seccomp filter for" in result.stdout
    assert "daemon.watch_method" in result.stdout
    assert "serves" not in result.stdout


def test_it_holds_no_directory_open(socket_path: Path, root: Path, watch: FanotifyWatch) -> None:
    """An open one could not be unmounted."""
    with watcher_process(socket_path) as process, watching(watch, [root]) as session:
        session.wait_until_caught_up()
        links = [path.readlink() for path in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert not [path for path in links if path.is_relative_to(root)]


def test_when_it_dies_all_roots_are_missed_until_it_is_back(socket_path: Path, root: Path) -> None:
    path = root.parent / "other"
    path.mkdir()
    watch = FanotifyWatch(socket_path, patience=0.1)
    with watching(watch, [root, path]) as session:
        session.wait_until(
            lambda: session.recorder.causes("root") == session.recorder.causes("other") == DEAD
        )
        for _ in range(2):
            with watcher_process(socket_path) as process:
                session.recorder.clear()
                session.maintain_until(lambda: session.recorder.causes("other") == DEAD)
                session.wait_until_caught_up()
                session.recorder.clear()
                process.kill()
                session.wait_until(
                    lambda: (
                        session.recorder.causes("root") == session.recorder.causes("other") == DEAD
                    )
                )
        session.recorder.clear()
        session.watch.maintain()
        session.watch.renew("root")
        assert not session.recorder.gaps, "it is not reported repeatedly"


def test_it_outlives_the_scanner(socket_path: Path, root: Path) -> None:
    with watcher_process(socket_path) as process:
        for _ in range(3):
            with watching(FanotifyWatch(socket_path), [root]) as session:
                session.wait_until_caught_up()
                assert not session.recorder.gaps
        assert process.poll() is None


def test_two_scanners_at_a_time_are_both_served(socket_path: Path, root: Path) -> None:
    """One can restart with other roots, and no event is missed in between."""
    with watcher_process(socket_path), watching(FanotifyWatch(socket_path), [root]) as before:
        with watching(FanotifyWatch(socket_path), [root]) as after:
            write(root / "a")
            before.wait_until_announced(root / "a")
            after.wait_until_announced(root / "a")
            before.watch.close()
            after.wait_until_caught_up()
            assert not after.recorder.gaps
        assert not before.recorder.gaps


def test_it_says_that_it_serves_and_lives(socket_path: Path) -> None:
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from hashwacht.watch.fanotify_daemon import serve\n"
        "stop, times = threading.Event(), []\n"
        "def alive():\n"
        "    times.append(1)\n"
        "    print('alive', flush=True)\n"
        "    if len(times) == 3: stop.set()\n"
        "serve(Path(sys.argv[1]), stop, ready=lambda: print('ready', flush=True), alive=alive)\n"
    )
    command = [sys.executable, "-c", program, str(socket_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    assert result.stdout.split() == ["ready", "alive", "alive", "alive"]


def test_a_file_system_fanotify_refuses_is_a_gap_that_names_it(
    socket_path: Path, memory: Path, mounts: OwnMounts
) -> None:
    """It is an overlay without file handles, as in a container."""
    mounts.overlay(memory)
    with watcher_process(socket_path), watching(FanotifyWatch(socket_path), [memory]) as session:
        if not session.recorder.gaps:
            pytest.skip("this kernel watches overlays")
        assert session.recorder.causes(memory.name) == DEAD
        assert "overlay" in session.recorder.gaps[0].detail


def test_one_that_hangs_is_found_and_another_one_used(socket_path: Path, root: Path) -> None:
    now = [0.0]
    watch = FanotifyWatch(socket_path, clock=lambda: now[0])
    with watcher_process(socket_path) as process, watching(watch, [root]) as session:
        session.watch.maintain()
        process.send_signal(signal.SIGSTOP)
        session.watch.maintain()
        now[0] = PATIENCE + 1
        session.maintain_until(lambda: session.recorder.causes() == DEAD)
        process.send_signal(signal.SIGCONT)
        session.recorder.clear()
        session.maintain_until(lambda: session.recorder.causes() == DEAD)
        session.wait_until_caught_up()


def test_it_ends_when_it_is_asked_to(socket_path: Path, root: Path, watch: FanotifyWatch) -> None:
    with watcher_process(socket_path) as process, watching(watch, [root]) as session:
        process.terminate()
        assert process.wait(3) == 0
        session.wait_until(lambda: session.recorder.causes() == DEAD)


def test_it_takes_a_socket_that_listens_already(
    socket_path: Path, root: Path, watch: FanotifyWatch
) -> None:
    """A listening socket is inherited from systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(socket_path))
        listening.listen()
        number = listening.fileno()
        program = "import sys,threading; from hashwacht.watch.fanotify_daemon import serve;"
        program += f"serve({number}, threading.Event())"
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, pass_fds=[number]) as process:
            with watching(watch, [root]) as session:
                session.wait_until_caught_up()
                assert not session.recorder.gaps
            process.kill()


def test_without_the_capability_it_says_what_to_do(socket_path: Path) -> None:
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from hashwacht.core.errors import ConfigurationError\n"
        "from hashwacht.platform.process import limit_capabilities\n"
        "from hashwacht.watch.fanotify_daemon import serve\n"
        "limit_capabilities(())\n"
        "try:\n"
        "    serve(Path(sys.argv[1]), threading.Event())\n"
        "except ConfigurationError as error:\n"
        "    print(error.advice)\n"
    )
    command = [sys.executable, "-c", program, str(socket_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    assert "CAP_SYS_ADMIN" in result.stdout


@pytest.mark.parametrize(
    "message",
    [b"GET / HTTP/1.0\r\n\r\n", frame(RenewRequest(0)), b"\xff" * 100, b""],
    ids=["other protocol", "too early", "any bytes", "nothing"],
)
def test_nonsense_ends_the_connection_and_nothing_else(
    socket_path: Path, root: Path, watch: FanotifyWatch, message: bytes
) -> None:
    with watcher_process(socket_path) as process:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            wait_for(socket_path)
            client.connect(str(socket_path))
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(5)
            with suppress(ConnectionResetError):
                assert client.recv(100) == b""
        with watching(watch, [root]) as session:
            session.wait_until_caught_up()
        assert process.poll() is None


def wait_for(path: Path) -> None:
    """Wait until a process listens there."""
    for _ in range(500):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            if path.exists() and client.connect_ex(str(path)) == 0:
                return
        threading.Event().wait(0.01)
    raise AssertionError("no process listens")


@pytest.fixture
def impostor(socket_path: Path) -> Iterator[socket.socket]:
    """Listen in place of the watcher."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(socket_path))
        listening.listen()
        yield listening


def test_a_watcher_that_talks_nonsense_is_a_gap(
    impostor: socket.socket, root: Path, watch: FanotifyWatch
) -> None:
    def talk() -> None:
        connected, _ = impostor.accept()
        with connected:
            connected.sendall(frame(StreamReply("0a", 0, (("root", bytes(root)),), ())))
            connected.sendall(frame(ReadyReply()))
            received = b""
            while not received.endswith(frame(Ping())):
                received += connected.recv(1000)
            (body,) = pack_announcements([WireAnnouncement(7, 0, b"/x")])
            connected.sendall(pack_frame(1, body))
            while connected.recv(1000):
                pass

    thread = threading.Thread(target=talk)
    thread.start()
    with watching(watch, [root]) as session:
        assert not session.recorder.gaps
        session.watch.maintain()
        session.wait_until(lambda: session.recorder.causes() == DEAD)
        assert not session.recorder.announcements
        impostor.close()
        session.watch.maintain()
        thread.join(5)


@pytest.mark.alone
def test_a_stalled_scanner_costs_little_memory_and_gets_its_gap(
    socket_path: Path, root: Path
) -> None:
    setting = Path("/proc/sys/fs/fanotify/max_queued_events")
    before = setting.read_text()
    with (
        watcher_process(socket_path) as process,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client,
    ):
        wait_for(socket_path)
        client.connect(str(socket_path))
        setting.write_text("1000")
        try:
            client.sendall(frame(WatchRequest.from_roots([Root("root", bytes(root))])))
            splitter, messages = FrameSplitter(), list[tuple[int, bytes]]()
            while len(messages) < 2:
                messages += splitter.feed(client.recv(100_000))
        finally:
            setting.write_text(before)
        replies = [decode_reply(body, 1) for _, body in messages]
        assert isinstance(replies[0], StreamReply)
        assert replies[1] == ReadyReply()
        directory = root.joinpath(*["d" * 200] * 15)
        directory.mkdir(parents=True)
        for number in range(10_000):  # more than the log and the queue of the kernel take
            write(directory / f"{number}")
        used = int(status(process.pid)["VmHWM"].split()[0])
        assert used < 60_000, f"{used} kB"
        gaps: list[MissedEvents] = []
        while not gaps:
            messages = list(splitter.feed(client.recv(100_000)))
            replies = [decode_reply(body, 1) for _, body in messages]
            gaps = [reply.to_gap() for reply in replies if isinstance(reply, MissedReply)]
            if messages:
                client.sendall(frame(AcknowledgeRequest(messages[-1][0])))
        assert gaps[0].cause is Cause.OVERFLOW


def test_other_users_get_no_names(root: Path) -> None:
    """That holds even if the socket's mode permits every user."""
    with tempfile.TemporaryDirectory(prefix="hw-") as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "watcher.sock"
        with watcher_process(path):
            wait_for(path)
            path.chmod(0o777)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                try:
                    os.seteuid(65534)
                    client.connect(str(path))
                finally:
                    os.seteuid(0)
                client.settimeout(5)
                with suppress(ConnectionResetError, BrokenPipeError):
                    client.sendall(frame(WatchRequest.from_roots([Root("root", bytes(root))])))
                    assert client.recv(100) == b""
            recorder, watch = WatchRecorder(), FanotifyWatch(path)
            watch.start([Root("root", bytes(root))], recorder)
            watch.close()
            assert not recorder.gaps
