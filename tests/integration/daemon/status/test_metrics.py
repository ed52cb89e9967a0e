"""Metrics over sockets and as a file agree with the status, are bounded and documented."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hashwacht.core.gateway_report import FrontReport, GatewayReport
from hashwacht.core.types import Outcome
from hashwacht.core.watch_events import Announcement, Cause, Lane, MissedEvents
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.daemon.status.health import Health, HealthFile, RootHealth, Stage
from hashwacht.daemon.status.metrics import render_metrics
from hashwacht.daemon.status.metrics_server import CONTENT_TYPE, MetricsServer, write_file
from hashwacht.daemon.status.status import read_status
from hashwacht.ipc.sockets import listen
from hashwacht.settings import Settings, load
from hashwacht.storage.store import Store
from support.processes import wait_for
from support.program import Program

DOCUMENT = Path(__file__).parents[4] / "docs" / "daemon.md"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: bytes) -> Samples:
    """Parse the text format with its reference parser; time stamps are not allowed."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            assert sample.timestamp is None
            samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return samples


@pytest.fixture
def settings(program: Program) -> Settings:
    environ = {"HASHWACHT_STATE_DIR": str(program.home / "state")}
    return load(environ, uid=os.geteuid(), file=program.configuration).settings


def happened(settings: Settings) -> None:
    """Record something of every kind."""
    now = time.time()
    counting = Counters()
    counting.count_announced(3, gap_reports=1)
    counting.count_verdict(Outcome.MATCH, 1000, 0.2)
    counting.count_verdict(Outcome.NO_MATCH, 1, 7.0)
    counting.count_action("hold")
    counting.count_upload()
    counting.count_refused_connection()
    health = Health(
        pid=1,
        version="1.0",
        started=now - 10,
        stage=Stage.WATCHING,
        roots=(RootHealth("web", b"/x", "inotify", last_event=now - 1),),
        matchers=(MatcherHealth("hashlist", now - 2), MatcherHealth("eokm", None, now, "down")),
        counts=counting.snapshot(),
        upload_connections=3,
        gateway=GatewayReport(now, (FrontReport("clamd", True, connections=2, matches=1),)),
    )
    HealthFile(settings.daemon.runtime_path).write(health)
    with Store.open(settings.state.path) as store:
        store.gaps.record(MissedEvents("web", Cause.OVERFLOW), now - 100, now)
        store.journal.record([Announcement("web", b"/x/\n\xff")], Lane.UPLOAD, now - 50)


def drawn(settings: Settings) -> bytes:
    return render_metrics(lambda: read_status(settings, time.time()))


def test_metrics_agree_with_the_status(settings: Settings) -> None:
    happened(settings)
    samples = read(drawn(settings))
    assert samples["hashwacht_protection", (("state", "degraded"),)] == 1
    assert samples["hashwacht_protection", (("state", "protected"),)] == 0
    assert samples["hashwacht_scanner_up", ()] == 1
    assert samples["hashwacht_announced_files_total", ()] == 3
    assert samples["hashwacht_upload_socket_up", ()] == 1
    assert samples["hashwacht_upload_connections", ()] == 3
    assert samples["hashwacht_uploads_total", ()] == 1
    assert samples["hashwacht_upload_connections_refused_total", ()] == 1
    assert samples["hashwacht_verdicts_total", (("outcome", "match"),)] == 1
    assert samples["hashwacht_verdicts_total", (("outcome", "undetermined"),)] == 0
    assert samples["hashwacht_checked_bytes_total", ()] == 1001
    assert samples["hashwacht_actions_total", (("action", "hold"),)] == 1
    assert samples["hashwacht_upload_verdict_latency_seconds_bucket", (("le", "0.25"),)] == 1
    assert samples["hashwacht_upload_verdict_latency_seconds_bucket", (("le", "+Inf"),)] == 2
    assert samples["hashwacht_upload_verdict_latency_seconds_count", ()] == 2
    assert samples["hashwacht_upload_verdict_latency_seconds_sum", ()] == pytest.approx(7.2)
    assert samples["hashwacht_journal_pending_files", (("lane", "upload"),)] == 1
    age = samples["hashwacht_journal_oldest_pending_age_seconds", (("lane", "upload"),)]
    assert age == pytest.approx(50, abs=5)
    assert samples["hashwacht_open_gaps", (("root", "web"),)] == 1
    assert samples["hashwacht_root_watched", (("root", "web"),)] == 1
    assert samples["hashwacht_matcher_up", (("matcher", "eokm"),)] == 0


def test_a_dead_daemon_has_metrics_of_its_storage(settings: Settings) -> None:
    with Store.open(settings.state.path):
        pass
    samples = read(drawn(settings))
    assert samples["hashwacht_protection", (("state", "not-protected"),)] == 1
    assert samples["hashwacht_root_watched", (("root", "web"),)] == 0
    assert ("hashwacht_scanner_up", ()) not in samples


def test_no_label_holds_what_an_uploader_could_choose(settings: Settings) -> None:
    happened(settings)
    labels = {name for _, pairs in read(drawn(settings)) for name, _ in pairs}
    permitted = {
        "action",
        "channel",
        "front",
        "layer",
        "lane",
        "le",
        "matcher",
        "outcome",
        "part",
        "root",
    }
    assert labels <= permitted | {"state", "version"}


def test_the_document_names_every_metric_and_no_other(settings: Settings) -> None:
    happened(settings)
    webhook = replace(settings.alerts.webhook, url="https://127.0.0.1:1")
    settings = replace(settings, alerts=replace(settings.alerts, webhook=webhook))
    names = {family.name for family in text_string_to_metric_families(drawn(settings).decode())}
    table = DOCUMENT.read_text().partition("## Metrics")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `(hashwacht_\w+)", table, re.MULTILINE))
    assert {name.removesuffix("_total") for name in documented} == names


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "metrics.sock"
    with MetricsServer([listen(path)], lambda: b"hashwacht_up 1\n"):
        yield path


def ask(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(request)
        answer = b""
        while piece := client.recv(4096):
            answer += piece
        return answer


def test_the_unix_socket_answers_its_owner(server: Path) -> None:
    head, _, body = ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert f"Content-Type: {CONTENT_TYPE}".encode() in head
    assert body == b"hashwacht_up 1\n"
    assert server.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b" 404 "),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b" 501 "),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b" 414 "),
    ],
)
def test_any_other_request_is_refused(server: Path, request_: bytes, code: bytes) -> None:
    try:
        answer = ask(server, request_)
    except ConnectionResetError:  # refused before the whole request was read
        answer = code
    assert code in answer
    assert b"200 OK" in ask(server, b"GET /metrics HTTP/1.1\r\n\r\n")


@pytest.mark.alone
def test_a_silent_client_delays_others_only_briefly(server: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(server))
        begun = time.monotonic()
        assert b"200 OK" in ask(server, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert time.monotonic() - begun < 4


@pytest.mark.alone
def test_a_slow_client_is_disconnected(server: Path) -> None:
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(server))
        begun = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - begun < 10:
                slow.send(b"G")
                time.sleep(0.1)  # one byte at a time
        assert time.monotonic() - begun < 5


@pytest.mark.alone
def test_clients_of_one_socket_do_not_delay_another(tmp_path: Path) -> None:
    public, private = (listen(tmp_path / name) for name in ("public", "private"))
    with MetricsServer([public, private], lambda: b"hashwacht_up 1\n"), ExitStack() as strangers:
        for _ in range(20):
            silent = strangers.enter_context(socket.socket(socket.AF_UNIX))
            silent.connect(str(tmp_path / "public"))
        begun = time.monotonic()
        assert b"200 OK" in ask(tmp_path / "private", b"GET /metrics HTTP/1.1\r\n\r\n")
        assert time.monotonic() - begun < 1.5


def test_a_socket_that_a_killed_daemon_left_over_is_replaced(tmp_path: Path) -> None:
    listen(tmp_path / "metrics.sock").close()
    with MetricsServer([listen(tmp_path / "metrics.sock")], lambda: b"x"):
        assert b"200 OK" in ask(tmp_path / "metrics.sock", b"GET /metrics HTTP/1.1\r\n\r\n")


def test_a_rendering_error_is_a_500_and_serving_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def failing() -> bytes:
        raise RuntimeError("oops")

    with MetricsServer([listen(tmp_path / "sock")], failing):
        for _ in range(2):
            assert b" 500 " in ask(tmp_path / "sock", b"GET /metrics HTTP/1.1\r\n\r\n")
    assert "cannot render" in caplog.text


HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="metrics")
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""
"""As systemd does it: descriptor 3, and the number of the process that it is meant for."""

SERVE = """
import os, sys
from hashwacht.platform.systemd import inherited_sockets
from hashwacht.daemon.status.metrics_server import MetricsServer
listeners = inherited_sockets(os.environ, "metrics")
assert not inherited_sockets(os.environ, "other")
with MetricsServer(listeners, lambda: b"inherited 1\\n"):
    print(len(listeners), flush=True)
    sys.stdin.read()
"""


def test_an_inherited_socket_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-c", HAND_OVER, str(listener.fileno()), SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"1\n"
            host, port = listener.getsockname()
            asking = http.client.HTTPConnection(host, port, timeout=5)
            asking.request("GET", "/metrics")
            assert asking.getresponse().read() == b"inherited 1\n"
            asking.close()
        finally:
            process.communicate(b"", 10)
        assert process.returncode == 0


def test_the_file_is_replaced_atomically_and_world_readable(tmp_path: Path) -> None:
    path = tmp_path / "hashwacht.prom"
    before = os.umask(0o077)
    try:
        write_file(path, b"one 1\n")
        with path.open("rb") as former:
            write_file(path, b"two 2\n")
            assert former.read() == b"one 1\n"
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two 2\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["hashwacht.prom"]


def test_the_file_is_written_at_start_and_not_per_request(tmp_path: Path) -> None:
    path = tmp_path / "hashwacht.prom"
    drawn_up = threading.Event()

    def draw() -> bytes:
        drawn_up.set()
        return b"x 1\n"

    with MetricsServer([listen(tmp_path / "sock")], draw, path):
        assert drawn_up.wait(5)
        wait_for(path.exists)
        inode = path.stat().st_ino
        ask(tmp_path / "sock", b"GET /metrics HTTP/1.1\r\n\r\n")
        ask(tmp_path / "sock", b"GET /metrics HTTP/1.1\r\n\r\n")
        assert path.stat().st_ino == inode


def test_an_unwritable_file_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "missing" / "hashwacht.prom"
    with MetricsServer([listen(tmp_path / "sock")], lambda: b"x", missing):
        assert b"200 OK" in ask(tmp_path / "sock", b"GET /metrics HTTP/1.1\r\n\r\n")
    assert caplog.text.count("cannot write") == 1
