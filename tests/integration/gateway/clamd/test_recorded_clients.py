"""Which programs accept a file in which state: the table of docs/clamd.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht.settings.gateway import ClamdSettings, UndeterminedReply
from support.gateway.clamd import MAX_STREAM, ServedFront, connect, exchange, served
from support.gateway.clamd_clients import CLIENTS, RecordedClient
from support.gateway.fake_checks import DAMAGED, LISTED, FakeChecks

ACCEPT_UNDETERMINED = {"opencloud", "discourse", "squidclamav", "samba"}
"""Programs that accept a file on any error: docs/clamd.md names them."""

PATHS = {b"/srv/listed": LISTED, b"/srv/other": b"other", b"/srv/damaged": DAMAGED}

every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFront]:
    """Serve with the default settings."""
    with served(FakeChecks(paths=PATHS), tmp_path_factory.mktemp("server")) as server:
        yield server


def accepts(client: RecordedClient, server: ServedFront, name: str) -> bool:
    """Return whether *client* accepts the file *name*."""
    path = f"/srv/{name}".encode()
    reply = exchange(server.path, [client.request(PATHS[path], path)])
    if client.name == "discourse":
        assert reply.startswith(b"1: ")
        reply = reply.removeprefix(b"1: ")
    return client.accepts(reply, path)


@every_client
def test_no_program_accepts_a_listed_file(server: ServedFront, client: RecordedClient) -> None:
    assert not accepts(client, server, "listed")
    assert accepts(client, server, "other")


@every_client
def test_which_programs_accept_an_undetermined_file(
    server: ServedFront, client: RecordedClient
) -> None:
    assert accepts(client, server, "damaged") is (client.name in ACCEPT_UNDETERMINED)


@every_client
def test_no_program_misreads_a_refusal_by_policy(tmp_path: Path, client: RecordedClient) -> None:
    settings = ClamdSettings(max_stream=MAX_STREAM, on_undetermined=UndeterminedReply.FOUND)
    with served(FakeChecks(paths=PATHS), tmp_path, settings) as server:
        assert not accepts(client, server, "damaged")
    settings = replace(settings, on_undetermined=UndeterminedReply.OK)
    with served(FakeChecks(paths=PATHS), tmp_path, settings) as server:
        assert accepts(client, server, "damaged")
        assert not accepts(client, server, "listed")


@pytest.mark.parametrize(
    "client",
    [client for client in CLIENTS if b"SCAN " not in client.request(b"x", b"/")],
    ids=lambda client: client.name,
)
def test_a_late_answer_accepts_no_more_than_an_error(
    tmp_path: Path, client: RecordedClient
) -> None:
    checks = FakeChecks(paths=PATHS)
    checks.released.clear()
    settings = ClamdSettings(max_stream=MAX_STREAM, timeout=0.01)
    with served(checks, tmp_path, settings) as server:
        assert accepts(client, server, "listed") is (client.name in ACCEPT_UNDETERMINED)
        server.call(checks.released.set)


def test_an_outage_refuses_connections(tmp_path: Path) -> None:
    with served(FakeChecks(), tmp_path) as server:
        server.close()
        for address in (server.path, server.port):
            with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
                connect(address)
    assert {client.name for client in CLIENTS if client.accepts_refused} == {"discourse", "samba"}
