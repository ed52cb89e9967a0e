"""Run all parsers in a process of their own: some have settings that can be made only once.

This module run as a program reads a line of JSON for each body and writes one.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from support.plugins.parsers.parsed import Parse, ParsedPart

NAMES = (
    "aiohttp",
    "bottle",
    "cherrypy",
    "django",
    "email",
    "falcon",
    "litestar",
    "multipart",
    "python_multipart",
    "sanic",
    "starlette",
    "tornado",
    "webob",
    "werkzeug",
)

ParseInAll = Callable[[str, bytes], dict[str, list[ParsedPart]]]
"""Parses a body with every parser; a parser that refuses it returns no parts."""


@contextmanager
def parser_process() -> Iterator[ParseInAll]:
    """Start the process; yield a function that parses a body there."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        requests, replies = process.stdin, process.stdout

        def parse(content_type: str, body: bytes) -> dict[str, list[ParsedPart]]:
            requests.write(json.dumps([content_type, body.decode("latin-1")]) + "\n")
            requests.flush()
            reply = json.loads(replies.readline())
            return {
                name: [ParsedPart(content.encode("latin-1"), is_file) for content, is_file in parts]
                for name, parts in reply.items()
            }

        yield parse


def parse_in_all(
    parsers: dict[str, Parse], content_type: str, body: bytes
) -> dict[str, list[tuple[str, bool]]]:
    """Return what each parser returns; nothing where it raises."""
    results: dict[str, list[tuple[str, bool]]] = {}
    for name, parse in parsers.items():
        try:
            parts = parse(content_type, body)
        except Exception:  # noqa: BLE001  # a parser that refuses the body
            parts = []
        results[name] = [(part.content.decode("latin-1"), part.is_file) for part in parts]
    return results


def main() -> None:
    """Answer each line on the standard input."""
    logging.disable(logging.CRITICAL)  # parsers log what they refuse
    parsers: dict[str, Parse] = {
        name: import_module(f"support.plugins.parsers.with_{name}").parse for name in NAMES
    }
    for line in sys.stdin:
        content_type, text = json.loads(line)
        results = parse_in_all(parsers, content_type, text.encode("latin-1"))
        sys.stdout.write(json.dumps(results) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
