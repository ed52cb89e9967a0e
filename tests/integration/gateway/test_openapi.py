"""The description of the HTTP API: valid, complete, and true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from hashwacht.gateway.http.intake import MAX_FILES
from hashwacht.gateway.http.lookups import MAX_ITEMS
from support.gateway.fake_checks import DAMAGED, LISTED
from support.gateway.http_gateway import LOOKUP_TOKEN, HttpGateway, form, http_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpGateway]:
    with http_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def description(gateway: HttpGateway) -> dict[str, Any]:
    with gateway.tcp(None) as client:
        served: dict[str, Any] = client.get("/v1/openapi.json").json()
    return served


def test_description_is_valid(description: dict[str, Any]) -> None:
    validate(description)


def test_every_resource_is_described(gateway: HttpGateway, description: dict[str, Any]) -> None:
    """What is described exists, and the server offers nothing else below /v1."""
    with gateway.unix() as client:
        for path, methods in description["paths"].items():
            response = client.request("TRACE", path.replace("{id}", "x"))
            offered = {method.strip().lower() for method in response.headers["Allow"].split(",")}
            assert offered - {"head"} == set(methods)


def test_limits_are_those_of_the_description(
    gateway: HttpGateway, description: dict[str, Any]
) -> None:
    items = description["components"]["schemas"]["Lookup"]["properties"]["items"]
    with gateway.unix() as client:
        about = client.get("/v1/about").json()
    assert (about["max_items"], about["max_files"]) == (MAX_ITEMS, MAX_FILES)
    assert items["maxItems"] == MAX_ITEMS


def test_answers_conform_to_the_description(
    gateway: HttpGateway, description: dict[str, Any]
) -> None:
    def conform(name: str, answer: object) -> None:
        schema = {**description, "$ref": f"#/components/schemas/{name}"}
        OAS31Validator(schema).validate(answer)

    with gateway.unix() as client, gateway.tcp(LOOKUP_TOKEN) as importer:
        for content in (LISTED, DAMAGED, b"x"):
            conform("FileAnswer", client.post("/v1/check", content=content).json())
        files = form(("a", LISTED), ("b", b"x"))
        conform("FormAnswer", client.post("/v1/check", files=files).json())
        headers = {"Prefer": "respond-async"}
        gateway.hold()
        ticket = client.post("/v1/check", content=LISTED, headers=headers)
        conform("Pending", ticket.json())
        gateway.release()
        headers = {"Prefer": "respond-async, wait=9"}
        conform("FileAnswer", client.post("/v1/check", content=LISTED, headers=headers).json())
        conform("About", client.get("/v1/about").json())
        lookup = {"items": [{"id": "a", "signals": ["md5:" + "0" * 32]}]}
        conform("Lookup", lookup)
        conform("LookupAnswer", importer.post("/v1/lookup", json=lookup).json())
        conform("Problem", client.get("/v1/checks/x").json())
