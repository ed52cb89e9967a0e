"""A real browser, driven through the W3C's WebDriver protocol: plain HTTP to chromedriver."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

FLAGS = (
    "--headless",
    "--no-sandbox",  # else it refuses to run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name of an element's id (WebDriver, 12.2: web element identifier)."""


def lacking() -> str:
    """Return the programs that are not installed."""
    return ", ".join(
        program for program in ("chromium", "chromedriver") if shutil.which(program) is None
    )


class Browser:
    """One window."""

    def __init__(self, session: httpx.Client) -> None:
        """Use *session*, the address of a WebDriver session."""
        self._session = session

    def open(self, address: str) -> None:
        """Load a page."""
        self._do("url", url=address)

    def choose(self, file: Path) -> None:
        """Choose a file in the page's form, as a user does in the file dialogue."""
        self._on("input[type=file]", "value", text=str(file))

    def press(self) -> None:
        """Click the page's button."""
        self._on("button", "click")

    def run(self, script: str) -> Any:
        """Run a script in the page and return its result."""
        return self._do("execute/sync", script=script, args=[])

    def answer(self) -> str:
        """Wait for a page without a form and return its text."""
        page = self._find("body:not(:has(form))")
        return str(self._session.get(f"element/{page}/text").json()["value"])

    def _on(self, selector: str, act: str, **more: str) -> None:
        self._do(f"element/{self._find(selector)}/{act}", **more)

    def _find(self, selector: str) -> str:
        return str(self._do("element", using="css selector", value=selector)[_ELEMENT])

    def _do(self, command: str, **more: object) -> Any:
        answer = self._session.post(command, json=more)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with a new *profile* directory; stop it at the end."""
    driver = shutil.which("chromedriver")
    assert driver is not None
    with subprocess.Popen(
        [driver, "--port=0"], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            address = f"http://127.0.0.1:{_port(process)}"
            options = {
                "binary": shutil.which("chromium"),
                "args": [*FLAGS, f"--user-data-dir={profile}"],
            }
            capabilities = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "timeouts": {
                    "implicit": 20_000
                },  # ms: the wait for elements of a page that still loads
            }
            with httpx.Client(base_url=address, timeout=60) as client:
                answer = client.post(
                    "/session", json={"capabilities": {"alwaysMatch": capabilities}}
                )
                assert answer.status_code == 200, answer.text
                session = f"{address}/session/{answer.json()['value']['sessionId']}"
                client.base_url = f"{session}/"
                try:
                    yield Browser(client)
                finally:
                    client.delete(session)  # without a trailing slash, this closes the session
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if "started successfully on port" in line:
            return int(line.rstrip(".\n").rpartition(" ")[2])
    raise AssertionError("chromedriver has ended")
