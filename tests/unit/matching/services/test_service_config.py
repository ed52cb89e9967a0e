from __future__ import annotations

import pytest

from hashwacht.core.errors import ConfigurationError
from hashwacht.matching.services.base import ServiceConfig


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example",
        "https://api.example:8443/prefix/",
        "http://127.0.0.1:5100",
        "http://127.9.9.9",
        "http://[::1]:5100",
        "http://localhost",
        "https://192.0.2.1",
    ],
)
def test_an_encrypted_or_local_address_is_taken(url: str) -> None:
    assert ServiceConfig(url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "ftp://api.example",
        "https://",
        "http://api.example",
        "http://192.0.2.1",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "https://api.example/?a=b",
        "https://api.example/#x",
        "https://user:hunter2@api.example",
        "https://hunter2@api.example",
        "https://[::1",
        "https://api.example:port",
        "https://a\nb",
    ],
)
def test_a_refused_address_is_reported_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ServiceConfig(url)
    assert raised.value.advice
    assert "hunter2" not in f"{raised.value}{raised.value.advice}"


@pytest.mark.parametrize("proxy", ["socks5://p", "p:3128", "http://u:hunter2@p:3128"])
def test_a_proxy_address_is_judged_alike(proxy: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ServiceConfig("https://api.example", proxy=proxy)
    assert "hunter2" not in str(raised.value)


def test_a_proxy_on_the_way_to_this_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="on this machine"):
        ServiceConfig("http://127.0.0.1:5100", proxy="http://p:3128")


def test_no_connection_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="concurrency"):
        ServiceConfig("https://api.example", concurrency=0)
