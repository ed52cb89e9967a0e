"""The HTTP API before the real scanner, and the examples of docs/http.md as written."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from demo.sample_storage import KNOWN
from hashwacht.client import GatewayClient, HashedItem, Outcome
from support.daemon.upload_daemon import known
from support.gateway.http_daemon import SHOP_TOKEN, HttpDaemon
from support.program import objects

PAGE = (Path(__file__).parents[3] / "docs" / "http.md").read_text()
EXAMPLES = [
    (command, expected)
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for command, expected in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpDaemon]:
    daemon = HttpDaemon(tmp_path_factory.mktemp("daemon"))
    (daemon.home / "picture.jpg").write_bytes(encode(photo(KNOWN)))
    (daemon.home / "drawing.png").write_bytes(encode(photo(KNOWN + 1), "png"))
    with daemon.serving():
        yield daemon


def comparable(output: str) -> object:
    """Return an answer without what differs from run to run, and each kind of match once."""

    def plain(fields: dict[str, object]) -> dict[str, object]:
        for name in fields.keys() & {"key", "event", "size", "revision", "distance"}:
            fields[name] = type(fields[name]).__name__
        if isinstance(matches := fields.get("matches"), list):
            fields["matches"] = matches[:1]
        return fields

    try:
        return json.loads(output, object_hook=plain)
    except ValueError:
        return output


@pytest.mark.parametrize(("command", "expected"), EXAMPLES)
def test_example_of_the_page(daemon: HttpDaemon, command: str, expected: str) -> None:
    command = command.replace("/run/hashwacht-gateway/http.sock", str(daemon.http))
    command = command.replace("127.0.0.1:9758", daemon.address)
    run = subprocess.run(
        ["sh", "-euc", command],
        env={**daemon.environment, "TOKEN": SHOP_TOKEN},
        cwd=daemon.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert comparable(run.stdout) == comparable(expected)
    if "answer.json" in command:
        assert json.loads((daemon.home / "answer.json").read_text())["outcome"]


def test_page_has_examples() -> None:
    assert len(EXAMPLES) > 10


def test_event_of_a_match_leads_to_its_case(daemon: HttpDaemon) -> None:
    headers = {
        "Hashwacht-User": "utf-8''J%C3%BCrgen",
        "Hashwacht-Client": "203.0.113.9:51234",
        "Hashwacht-File-Name": "holiday.png",
    }
    with daemon.client() as client:
        answer = client.post("/v1/check", content=known(), headers=headers).json()
    assert answer["outcome"] == "match"

    def shown() -> str:
        return daemon.run("cases", "show", answer["event"], "--json").stdout.decode()

    daemon.wait_for(lambda: answer["key"] in shown(), "the case")
    assert all(text in shown() for text in ("203.0.113.9", "holiday.png", "51234"))


def test_hashes_of_a_client_are_looked_up(daemon: HttpDaemon) -> None:
    """A content with all accepted hashes has a verdict; one without some of them has none."""
    (printed,) = objects(daemon.run("hash", "--json", "picture.jpg").stdout)
    signals = tuple(f"{s['type']}:{s['value']}" for s in printed["signals"])
    text = f"md5:{md5(b'text', usedforsecurity=False).hexdigest()}"
    others = tuple(f"{s['type']}:{'0' * len(s['value'])}" for s in printed["signals"])
    items = [HashedItem(signals), HashedItem((text,)), HashedItem(others, 100, "image/png")]
    with GatewayClient(f"http://{daemon.address}", SHOP_TOKEN) as client:
        listed, partial, unlisted = client.lookup(items)
    assert listed.outcome is Outcome.MATCH
    assert (partial.outcome, partial.reason) == (Outcome.UNDETERMINED, "not-computed")
    assert unlisted.outcome is Outcome.NO_MATCH
