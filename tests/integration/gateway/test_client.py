"""The typed client against the HTTP server of the gateway."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from hashwacht.client import (
    AsyncGatewayClient,
    GatewayClient,
    HashedItem,
    MatchSummary,
    Outcome,
    UploadContext,
)
from support.gateway.fake_checks import DAMAGED, LISTED
from support.gateway.http_gateway import LOOKUP_TOKEN, TOKEN, HttpGateway, http_gateway

LISTED_HASH = f"sha256:{sha256(LISTED).hexdigest()}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpGateway]:
    with http_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def client(gateway: HttpGateway) -> Iterator[GatewayClient]:
    with GatewayClient(str(gateway.socket)) as client:
        yield client


def test_every_kind_of_content_is_checked(client: GatewayClient) -> None:
    for content in (LISTED, io.BytesIO(LISTED), [LISTED[:5], LISTED[5:]]):
        answer = client.check(content)
        assert answer.outcome is Outcome.MATCH
        assert answer.matches == (MatchSummary("police", "csam", "exact", "known", 0),)
        assert answer.key == sha256(LISTED).hexdigest()
        assert len(answer.event) == 8
    assert client.check(b"a cat").outcome is Outcome.NO_MATCH
    assert client.check(DAMAGED).reason == "damaged"


def test_context_is_recorded(gateway: HttpGateway, client: GatewayClient) -> None:
    context = UploadContext(
        received_at="2026-12-01T10:00:00+01:00",
        address="2001:db8::9",
        port=443,
        user="Jürgen, \u200fx\n",
        path="/upload",
        file_name="été.jpg",
        declared_type='image/jpeg; name="a b"',
    )
    client.check(b"a cat", context)
    recorded = gateway.checks.contexts[-1]
    assert recorded == replace(context, submitter_uid=os.getuid())


def test_failure_of_any_kind_is_undetermined(gateway: HttpGateway) -> None:
    items = [HashedItem((LISTED_HASH,)), HashedItem(("nonsense",))]
    for address, token in (
        ("http://127.0.0.1:1", ""),
        (gateway.url, "wrong"),
        (f"{gateway.url}/elsewhere", TOKEN),
    ):
        with GatewayClient(address, token) as client:
            assert client.check(LISTED).outcome is Outcome.UNDETERMINED
            answers = client.lookup(items)
            assert [answer.outcome for answer in answers] == [Outcome.UNDETERMINED] * 2


def test_hashes_are_looked_up(gateway: HttpGateway) -> None:
    items = [HashedItem((LISTED_HASH,)), HashedItem(("pdq:" + "0" * 64,), 80, "image/png")]
    with GatewayClient(gateway.url, LOOKUP_TOKEN) as client:
        outcomes = [answer.outcome for answer in client.lookup(items)]
    assert outcomes == [Outcome.MATCH, Outcome.NO_MATCH]


def test_readiness_follows_the_gateway(gateway: HttpGateway, client: GatewayClient) -> None:
    assert client.is_ready()
    gateway.checks.able = False
    try:
        assert not client.is_ready()
    finally:
        gateway.checks.able = True


def test_asynchronous_client_does_the_same(gateway: HttpGateway, tmp_path: Path) -> None:
    async def check() -> None:
        async with AsyncGatewayClient(str(gateway.socket)) as client:
            for content in (LISTED, io.BytesIO(LISTED), [LISTED]):
                assert (await client.check(content)).outcome is Outcome.MATCH
            assert await client.is_ready()
        async with AsyncGatewayClient(gateway.url, LOOKUP_TOKEN) as client:
            (answer,) = await client.lookup([HashedItem((LISTED_HASH,))])
            assert answer.outcome is Outcome.MATCH
        async with AsyncGatewayClient(str(tmp_path / "absent.sock")) as client:
            assert (await client.check(LISTED)).outcome is Outcome.UNDETERMINED
            assert not await client.is_ready()

    asyncio.run(check())
