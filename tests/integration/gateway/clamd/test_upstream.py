from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht.gateway.clamd.upstream import Upstream
from hashwacht.settings.gateway import ClamdSettings, UndeterminedReply, UpstreamFailureReply
from support.gateway.clamd import (
    MAX_STREAM,
    Packet,
    RealClamd,
    ServedFront,
    exchange,
    instream,
    served,
)
from support.gateway.fake_checks import DAMAGED, LISTED, FakeChecks

VIRUS = b"a content that only the virus scanner knows"
REFUSED = rb"Hashwacht\.Refused\.[0-9a-f]{8} FOUND"


@pytest.fixture(params=["socket", "tcp"])
def settings(request: pytest.FixtureRequest, clamd: RealClamd) -> ClamdSettings:
    """Return settings with the real clamd behind the gateway, by either socket."""
    address = str(clamd.path) if request.param == "socket" else f"127.0.0.1:{clamd.port}"
    return ClamdSettings(max_stream=4 * MAX_STREAM, upstream=address)


@pytest.fixture
def server(settings: ClamdSettings, tmp_path: Path) -> Iterator[ServedFront]:
    """Serve with that clamd behind it."""
    with served(FakeChecks(), tmp_path, settings) as server:
        yield server


def test_each_of_both_scanners_refuses_a_stream(server: ServedFront) -> None:
    assert re.fullmatch(b"stream: " + REFUSED + b"\0", exchange(server.path, [instream(LISTED)]))
    reply = exchange(server.path, [instream(VIRUS)])
    assert reply == b"stream: listed.1.UNOFFICIAL FOUND\0"
    assert exchange(server.port, [instream(b"other")]) == b"stream: OK\0"


def test_a_descriptor_goes_to_both(server: ServedFront) -> None:
    for content, verdict in ((LISTED, REFUSED), (VIRUS, rb"listed\.1\.UNOFFICIAL FOUND")):
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            reply = exchange(server.path, [Packet(b"zFILDES\0\0", (file.fileno(),))])
        assert re.fullmatch(rb"fd\[\d+\]: " + verdict + b"\0", reply)


def test_paths_and_sessions_go_to_both(settings: ClamdSettings, tmp_path: Path) -> None:
    path = tmp_path / "virus"
    path.write_bytes(VIRUS)
    name = bytes(path)
    checks = FakeChecks(paths={name: VIRUS})
    with served(checks, tmp_path, settings) as server:
        found = name + b": listed.1.UNOFFICIAL FOUND"
        assert exchange(server.path, [b"nSCAN %s\n" % name]) == found + b"\n"
        session = b"zIDSESSION\0zSCAN %s\0zPING\0zEND\0" % name
        lines = exchange(server.path, [session]).split(b"\0")
        assert sorted(lines) == [b"", b"1: " + found, b"2: PONG"]
        assert b"denied" in exchange(server.path, [b"zSCAN /etc/passwd\0"])


def test_its_limit_is_passed_on(server: ServedFront) -> None:
    reply = exchange(server.path, [instream(bytes(3 * MAX_STREAM), 1 << 16)])
    assert reply in {b"stream: OK\0", b"INSTREAM size limit exceeded. ERROR\0"}  # by descriptor: OK


def test_what_is_undetermined_is_not_asked_about(server: ServedFront) -> None:
    assert exchange(server.path, [instream(DAMAGED)]) == b"Not determined. ERROR\0"


def test_what_may_pass_undetermined_is_asked_about(
    settings: ClamdSettings, clamd: RealClamd, tmp_path: Path
) -> None:
    settings = replace(settings, on_undetermined=UndeterminedReply.OK)
    with served(FakeChecks(undetermined=frozenset({VIRUS})), tmp_path, settings) as server:
        assert exchange(server.path, [instream(VIRUS)]).endswith(b"UNOFFICIAL FOUND\0")
        assert clamd.path.exists()


@pytest.mark.parametrize("upstream", ["/nowhere/clamd.sock", "127.0.0.1:1"])
def test_without_it_the_policy_decides(upstream: str, tmp_path: Path) -> None:
    settings = ClamdSettings(max_stream=MAX_STREAM, upstream=upstream)
    with served(FakeChecks(paths={b"/a": b"other"}), tmp_path, settings) as server:
        assert exchange(server.path, [instream(b"other")]) == b"Not scanned. ERROR\0"
        assert exchange(server.path, [b"zSCAN /a\0"]) == b"/a: Not scanned. ERROR\0"
        assert b"Refused" in exchange(server.path, [instream(LISTED)])
        assert exchange(server.path, [b"zVERSION\0"]).startswith(b"ClamAV 1.4.6/412/")
        assert server.front.counters.upstream_failures == 2
    settings = replace(settings, on_upstream_failure=UpstreamFailureReply.OK)
    with served(FakeChecks(paths={b"/a": b"other"}), tmp_path, settings) as server:
        assert exchange(server.path, [instream(b"other")]) == b"stream: OK\0"
        assert exchange(server.path, [b"zSCAN /a\0"]) == b"/a: OK\0"


def test_its_version_grows_with_our_lists() -> None:
    class DatedUpstream(Upstream):
        async def ask(self, command: bytes) -> list[bytes]:
            assert command == b"VERSION"
            return [b"ClamAV 1.4.6/27000/Mon Nov 30 10:00:00 2026"]

    version = DatedUpstream("/nowhere", 1.0).version(412)
    with pytest.raises(StopIteration) as ended:
        version.send(None)
    assert ended.value.value == b"ClamAV 1.4.6/27412/Mon Nov 30 10:00:00 2026"


def test_stats_and_reload(server: ServedFront) -> None:
    assert exchange(server.path, [b"zSTATS\0"]).startswith(b"POOLS: 1")
    assert exchange(server.path, [b"zRELOAD\0"]) == b"RELOADING\0"
