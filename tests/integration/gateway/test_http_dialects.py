"""Requests as clients of other products send them, and what these clients look at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from urllib.parse import quote

import httpx
import pytest

from hashwacht.settings import Dialect, HttpSettings
from support.gateway.fake_checks import DAMAGED, LISTED
from support.gateway.http_gateway import TOKEN, TOKENS, TUSD_TOKEN, HttpGateway, form, http_gateway

NAME = re.compile(r"Hashwacht\.Refused\.[0-9a-f]{8}")
CONTENTS = {"match": LISTED, "undetermined": DAMAGED, "no-match": b"a cat"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpGateway]:
    settings = HttpSettings(tokens=TOKENS, dialects=tuple(Dialect))
    with http_gateway(tmp_path_factory.mktemp("gateway"), settings) as running:
        yield running


@pytest.fixture
def client(gateway: HttpGateway) -> Iterator[httpx.Client]:
    with gateway.unix() as client:
        yield client


@pytest.mark.parametrize(
    ("outcome", "word", "status"),
    [("match", "FOUND", 406), ("undetermined", "ERROR", 400), ("no-match", "OK", 200)],
)
def test_clamav_rest(client: httpx.Client, outcome: str, word: str, status: int) -> None:
    response = client.post("/v2/scan", files=form(("x.png", CONTENTS[outcome])))
    (answer,) = response.json()
    assert response.status_code == status
    assert (answer["Status"], answer["FileName"]) == (word, "x.png")
    assert bool(NAME.fullmatch(answer["Description"])) == (outcome == "match")
    body = client.post("/scanHandlerBody", content=CONTENTS[outcome])
    assert (body.status_code, body.json()["Status"]) == (status, word)


def test_clamav_rest_answers_with_the_gravest_status(client: httpx.Client) -> None:
    files = form(("a", b"a cat"), ("b", LISTED), ("c", DAMAGED))
    response = client.post("/v2/scan", files=files)
    assert [file["Status"] for file in response.json()] == ["OK", "FOUND", "ERROR"]
    assert response.status_code == 406


@pytest.mark.parametrize(
    ("outcome", "infected"), [("match", True), ("undetermined", None), ("no-match", False)]
)
def test_clamav_rest_api(client: httpx.Client, outcome: str, infected: bool | None) -> None:
    files = [("FILES", ("x.png", CONTENTS[outcome]))]
    response = client.post("/api/v1/scan", files=files)
    (result,) = response.json()["data"]["result"]
    assert (response.status_code, response.json()["success"]) == (200, True)
    assert (result["name"], result["is_infected"]) == ("x.png", infected)
    assert len(result["viruses"]) == (infected is True)


@pytest.mark.parametrize(
    ("outcome", "verdict", "status"),
    [("match", "malicious", 422), ("undetermined", "error", 503), ("no-match", "clean", 200)],
)
def test_pompelmi(client: httpx.Client, outcome: str, verdict: str, status: int) -> None:
    response = client.post("/scan", files=form(("x.png", CONTENTS[outcome])))
    result = response.json()["result"]
    assert (response.status_code, result["verdict"]) == (status, verdict)
    assert result["sha256"] == sha256(CONTENTS[outcome]).hexdigest()
    assert len(result["matches"]) == (outcome == "match")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("outcome", "classification"), [("match", "csam"), ("no-match", "no-known-match")]
)
def test_arachnid(gateway: HttpGateway, outcome: str, classification: str) -> None:
    content = CONTENTS[outcome]
    headers = {"Content-Type": "image/png"}
    auth = ("user", TOKEN)
    response = httpx.post(
        f"{gateway.url}/v1/media/", content=content, headers=headers, auth=auth, verify=False
    )
    answer = response.json()
    assert answer["classification"] == classification
    assert answer["sha256_hex"].lower() == sha256(content).hexdigest()
    assert answer["match_type"] == ("exact" if outcome == "match" else None)
    undetermined = httpx.post(f"{gateway.url}/v1/media", content=DAMAGED, auth=auth, verify=False)
    assert undetermined.status_code == 503


@pytest.mark.parametrize("outcome", CONTENTS)
def test_pict_rs_accepts_no_match_only(gateway: HttpGateway, outcome: str) -> None:
    """Any status but 2xx refuses the upload.  The token is in the URL, as its setting allows."""
    content = CONTENTS[outcome]
    response = httpx.post(
        f"{gateway.url}/v1/check?answer=status".replace("//", f"//pict-rs:{quote(TOKEN)}@"),
        content=iter([content[:4], content[4:]]),
        headers={"Content-Type": "image/webp"},
        verify=False,
    )
    assert response.is_success == (outcome == "no-match")


def tusd(event: str, path: str, **upload: object) -> bytes:
    """Return a hook as tusd 2 sends it."""
    storage = {"Type": "filestore", "Path": path, "InfoPath": f"{path}.info"}
    upload = {"ID": "x", "Size": 9, "IsPartial": False, "Storage": storage, **upload}
    request = {"Method": "PATCH", "URI": "/files/x", "RemoteAddr": "203.0.113.9:1", "Header": {}}
    return json.dumps({"Type": event, "Event": {"Upload": upload, "HTTPRequest": request}}).encode()


@pytest.mark.parametrize(
    ("outcome", "status"), [("match", 403), ("undetermined", 503), ("no-match", None)]
)
def test_tusd_refuses_a_stored_upload(
    gateway: HttpGateway, client: httpx.Client, outcome: str, status: int | None
) -> None:
    gateway.checks.paths = {b"/srv/tusd/x": CONTENTS[outcome]}
    response = client.post("/hooks/tusd", content=tusd("pre-finish", "/srv/tusd/x"))
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert len(response.content) < 5 << 10
    assert response.json().get("HTTPResponse", {}).get("StatusCode") == status


@pytest.mark.parametrize(
    "hook",
    [
        tusd("pre-finish", "/srv/tusd/absent"),
        tusd("pre-finish", "/srv/tusd/x", Storage={"Type": "s3store", "Bucket": "b", "Key": "k"}),
        b"{}",
    ],
)
def test_tusd_upload_that_cannot_be_checked_does_not_pass(
    client: httpx.Client, hook: bytes
) -> None:
    response = client.post("/hooks/tusd", content=hook)
    refused = response.status_code == 200 and response.json()["HTTPResponse"]["StatusCode"] == 503
    assert refused or response.status_code == 400


@pytest.mark.parametrize(
    "hook", [tusd("post-create", "/x"), tusd("pre-finish", "/x", IsPartial=True)]
)
def test_tusd_events_without_a_whole_file_pass(client: httpx.Client, hook: bytes) -> None:
    assert client.post("/hooks/tusd", content=hook).json() == {}


def test_only_the_token_of_tusd_has_paths_checked(gateway: HttpGateway) -> None:
    gateway.checks.paths = {b"/srv/tusd/x": LISTED}
    hook = tusd("pre-finish", "/srv/tusd/x")
    with gateway.tcp() as client:
        assert client.post("/hooks/tusd", content=hook).status_code == 403
    with gateway.tcp(TUSD_TOKEN) as client:
        response = client.post("/hooks/tusd", content=hook)
    assert response.json()["HTTPResponse"]["StatusCode"] == 403
    assert gateway.checks.peers[-1].uid == 0


def test_dialect_that_is_not_configured_is_absent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with (
        http_gateway(tmp_path_factory.mktemp("plain")) as gateway,
        gateway.unix() as client,
    ):
        for path in ("/v2/scan", "/api/v1/scan", "/scan", "/v1/media", "/hooks/tusd"):
            assert client.post(path, content=LISTED).status_code == 404
