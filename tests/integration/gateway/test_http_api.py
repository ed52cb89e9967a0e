"""The HTTP API over real sockets, before a scanner in memory."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from hashwacht.gateway.http.http_server import HttpFront
from hashwacht.settings import HttpSettings
from support.gateway.fake_checks import DAMAGED, LISTED, FakeChecks
from support.gateway.http_gateway import (
    LOOKUP_TOKEN,
    TOKEN,
    TOKENS,
    HttpGateway,
    form,
    http_gateway,
)
from support.gateway.running_front import FrontLoop, unix_listener
from support.processes import wait_for

LISTED_SHA256 = sha256(LISTED).hexdigest()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpGateway]:
    with http_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def client(gateway: HttpGateway) -> Iterator[httpx.Client]:
    with gateway.unix() as client:
        yield client


def test_match_is_described_without_the_id_of_the_entry(client: httpx.Client) -> None:
    response = client.post("/v1/check", content=LISTED)
    answer = response.json()
    event = answer.pop("event")
    assert len(bytes.fromhex(event)) == 4
    match = {
        "matcher": "police",
        "list": "known",
        "category": "csam",
        "how": "exact",
        "distance": 0,
    }
    assert answer == {
        "outcome": "match",
        "reason": None,
        "matches": [match],
        "key": LISTED_SHA256,
        "kind": "image/png",
        "size": len(LISTED),
        "revision": 412,
    }


@pytest.mark.parametrize(
    ("content", "outcome", "status"),
    [(LISTED, "match", 403), (DAMAGED, "undetermined", 503), (b"a cat", "no-match", 204)],
)
def test_each_outcome_has_a_status_of_its_own(
    client: httpx.Client, content: bytes, outcome: str, status: int
) -> None:
    full = client.post("/v1/check", content=content)
    short = client.post("/v1/check", params={"answer": "status"}, content=content)
    assert (full.status_code, full.json()["outcome"]) == (200, outcome)
    assert short.status_code == status
    assert LISTED_SHA256 not in short.text
    assert ("Retry-After" in short.headers) == (status == 503)


def test_worst_file_of_a_form_decides(client: httpx.Client) -> None:
    files = form(("cat.png", b"a cat"), ("bad.png", DAMAGED), ("x.png", LISTED))
    answer = client.post("/v1/check", files=files).json()
    assert answer["outcome"] == "match"
    outcomes = [(file["file_name"], file["outcome"]) for file in answer["files"]]
    assert outcomes == [
        ("cat.png", "no-match"),
        ("bad.png", "undetermined"),
        ("x.png", "match"),
    ]
    assert client.post("/v1/check?answer=status", files=files[:2]).status_code == 503


def test_headers_reach_the_record_of_the_upload(gateway: HttpGateway, client: httpx.Client) -> None:
    headers = {
        "Hashwacht-User": "utf-8''J%C3%BCrgen",
        "Hashwacht-Client": "[2001:db8::9]:51234",
        "Hashwacht-File-Name": "holiday.jpg",
        "Hashwacht-Path": "/upload",
        "Hashwacht-Received-At": "2026-12-01T10:00:00+01:00",
        "Content-Type": "image/jpeg",
    }
    client.post("/v1/check", content=b"a cat", headers=headers).raise_for_status()
    context = gateway.checks.contexts[-1]
    assert (context.user, context.address, context.port) == ("Jürgen", "2001:db8::9", 51234)
    assert (context.file_name, context.path) == ("holiday.jpg", "/upload")
    assert context.received_at == "2026-12-01T10:00:00+01:00"
    assert context.declared_type == "image/jpeg"


@pytest.mark.parametrize(
    "headers",
    [
        {"Hashwacht-Client": "somewhere"},
        {"Hashwacht-Client": "203.0.113.9:99999"},
        {"Hashwacht-Received-At": "2026-12-01T10:00:00"},
        {"Hashwacht-User": "utf-8''%ff"},
        {"Content-Type": "multipart/form-data"},
        {"Authorization": "Negotiate x"},
    ],
)
def test_header_that_is_not_understood_fails_the_request(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    response = client.post("/v1/check", content=LISTED, headers=headers)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == 400


@pytest.mark.parametrize("body", [b"", b"--b\r\n", b"--b\r\nContent-Disposition: x"])
def test_broken_form_is_an_error_and_never_no_match(client: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/v1/check", content=body, headers=headers).status_code == 400


def test_body_that_breaks_off_is_not_checked(gateway: HttpGateway) -> None:
    before = len(gateway.checks.contexts)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(gateway.socket))
        head = b"POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head + LISTED)
        connection.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in connection.recv(4096)
    wait_for(lambda: gateway.checks.open_streams == 0)
    assert len(gateway.checks.contexts) == before


def test_request_without_a_body_is_no_empty_file(
    gateway: HttpGateway, client: httpx.Client
) -> None:
    assert client.post("/v1/check", content=b"").json()["outcome"] == "no-match"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(gateway.socket))
        connection.sendall(b"POST /v1/check HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_tcp_requires_a_token(gateway: HttpGateway) -> None:
    for token in (None, "wrong"):
        with gateway.tcp(token) as client:
            response = client.post("/v1/check", content=LISTED)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
    with gateway.tcp() as client:
        assert client.post("/v1/check", content=LISTED).json()["outcome"] == "match"
    basic = httpx.post(f"{gateway.url}/v1/check", content=LISTED, auth=("any", TOKEN), verify=False)
    assert basic.json()["outcome"] == "match"


def test_wrong_token_is_refused_on_the_unix_socket_too(client: httpx.Client) -> None:
    headers = {"Authorization": "Bearer wrong"}
    assert client.post("/v1/check", content=b"x", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Authorization: Bearer wrong\r\nContent-Length: 9", 401),
        ("Content-Length: 99999999999999", 413),
        ("Content-Encoding: gzip\r\nContent-Length: 9", 415),
        ("Content-Length: 9", 100),
    ],
)
def test_body_is_asked_for_only_if_it_may_come(
    gateway: HttpGateway, headers: str, status: int
) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(gateway.socket))
        request = f"POST /v1/check HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{headers}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


def test_content_of_unknown_length_ends_at_the_limit(tmp_path: Path) -> None:
    with (
        http_gateway(tmp_path, HttpSettings(max_body=1 << 20)) as gateway,
        gateway.unix() as client,
    ):
        response = client.post("/v1/check", content=(b"\0" * (1 << 18) for _ in range(8)))
        assert response.status_code == 413
        assert not gateway.checks.contexts


def test_ticket_is_exchanged_for_the_answer(gateway: HttpGateway) -> None:
    with gateway.unix() as client, gateway.tcp() as other:
        gateway.hold()
        headers = {"Prefer": "respond-async, wait=0"}
        accepted = client.post("/v1/check", content=LISTED, headers=headers)
        assert (accepted.status_code, accepted.json()["state"]) == (202, "pending")
        assert accepted.headers["Preference-Applied"] == "respond-async"
        location = accepted.headers["Location"]
        assert client.get(location).json()["state"] == "pending"
        assert other.get(location).status_code == 404
        gateway.release()
        wait_for(lambda: client.get(location).json()["state"] != "pending")
        answer = client.get(location).json()
        assert (answer["state"], answer["outcome"]) == ("done", "match")
    wait_for(lambda: gateway.checks.open_streams == 0)


def test_client_that_waits_has_the_answer_at_once(client: httpx.Client) -> None:
    headers = {"Prefer": "wait=5, respond-async"}
    response = client.post("/v1/check", content=LISTED, headers=headers)
    assert (response.status_code, response.json()["outcome"]) == (200, "match")


def test_check_that_is_late_is_unavailable(tmp_path: Path) -> None:
    settings = HttpSettings(timeout=0.5)
    with http_gateway(tmp_path, settings) as gateway, gateway.unix() as client:
        gateway.hold()
        response = client.post("/v1/check", content=LISTED)
        assert (response.status_code, "Retry-After" in response.headers) == (503, True)
        gateway.release()


def test_hashes_are_looked_up_with_permission_only(gateway: HttpGateway) -> None:
    items = [
        {"id": "a", "signals": [f"sha256:{LISTED_SHA256.upper()}"]},
        {"id": "b", "signals": ["md5:" + "0" * 32, "pdq:" + "0" * 64], "quality": 90},
    ]
    with gateway.tcp(LOOKUP_TOKEN) as client:
        answer = client.post("/v1/lookup", json={"items": items}).json()
        assert [(i["id"], i["outcome"]) for i in answer["items"]] == [
            ("a", "match"),
            ("b", "no-match"),
        ]
        assert client.get("/v1/about").json()["may_look_up"] is True
    for client in (gateway.tcp(), gateway.unix()):
        with client:
            assert client.post("/v1/lookup", json={"items": items}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{"signals": []}]},
        {"items": [{"signals": ["sha256:12"]}]},
        {"items": [{"signals": ["nonsense"]}]},
        {"items": [{"signals": ["md5:" + "0" * 32], "path": "/etc/passwd"}]},
    ],
)
def test_lookup_that_is_not_understood_is_an_error(gateway: HttpGateway, body: object) -> None:
    with gateway.tcp(LOOKUP_TOKEN) as client:
        assert client.post("/v1/lookup", json=body).status_code == 400


def test_lookups_over_the_rate_are_refused(tmp_path: Path) -> None:
    settings = HttpSettings(tokens=TOKENS, lookup=("import",), lookup_rate=1)
    items = [{"signals": ["md5:" + "0" * 32]}] * 10
    with http_gateway(tmp_path, settings) as gateway, gateway.tcp(LOOKUP_TOKEN) as client:
        assert client.post("/v1/lookup", json={"items": items}).status_code == 200
        response = client.post("/v1/lookup", json={"items": items})
        assert (response.status_code, "Retry-After" in response.headers) == (429, True)


def test_client_over_its_share_is_refused_and_others_are_not(tmp_path: Path) -> None:
    settings = HttpSettings(tokens=TOKENS)
    with (
        http_gateway(tmp_path, settings, max_requests=4) as gateway,
        gateway.unix() as client,
        ThreadPoolExecutor(2) as pool,
    ):
        gateway.hold()
        waiting = [pool.submit(client.post, "/v1/check", content=b"x") for _ in range(2)]
        wait_for(lambda: len(gateway.checks.contexts) == 2)
        assert client.post("/v1/check", content=b"x").status_code == 429
        with gateway.tcp() as other:
            assert other.get("/v1/about").status_code == 200
        gateway.release()
        assert {future.result().status_code for future in waiting} == {200}


def test_connection_over_the_limit_is_refused(tmp_path: Path) -> None:
    with http_gateway(tmp_path, HttpSettings(), max_connections=2) as gateway:
        with gateway.unix() as client, socket.socket(socket.AF_UNIX) as idle:
            idle.connect(str(gateway.socket))
            assert client.get("/v1/live").status_code == 204
            with gateway.unix() as other:
                response = other.post("/v1/check", content=LISTED)
            assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        with gateway.unix() as client:
            wait_for(lambda: client.get("/v1/live").status_code == 204)


def test_probes_need_no_token_and_show_an_outage(gateway: HttpGateway) -> None:
    with gateway.tcp(None) as client:
        assert client.get("/v1/live").status_code == 204
        assert client.get("/v1/ready").status_code == 204
        gateway.checks.able = False
        try:
            assert client.get("/v1/ready").status_code == 503
            assert client.get("/v1/live").status_code == 204
        finally:
            gateway.checks.able = True


def test_unknown_resource_and_method_are_problems(client: httpx.Client) -> None:
    for response in (client.get("/v2/scan"), client.get("/v1/check")):
        assert response.headers["Content-Type"] == "application/problem+json"
    assert client.get("/v1/check").headers["Allow"] == "POST"


def test_running_check_is_answered_when_the_gateway_stops(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with http_gateway(tmp_path) as gateway:
            gateway.hold()
            client = gateway.unix()
            pending = pool.submit(client.post, "/v1/check", content=LISTED)
            wait_for(lambda: bool(gateway.checks.contexts))
            gateway.loop.loop.call_soon_threadsafe(
                gateway.loop.loop.call_later, 0.2, gateway.checks.released.set
            )
        assert pending.result().json()["outcome"] == "match"
        client.close()


def test_front_serves_again_after_it_was_closed(tmp_path: Path) -> None:
    front = HttpFront(FakeChecks(), HttpSettings())
    loop = FrontLoop()
    for name in ("first", "second"):
        path = tmp_path / name
        loop.run(front.start([unix_listener(path)]))
        transport = httpx.HTTPTransport(uds=str(path), verify=False)
        with httpx.Client(transport=transport, base_url="http://x") as client:
            assert client.post("/v1/check", content=LISTED).json()["outcome"] == "match"
            assert front.connection_count == 1
        loop.run(front.close())
        assert front.connection_count == 0
    loop.close()
