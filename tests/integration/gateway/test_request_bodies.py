"""Bodies of requests over the clamd socket, as programs of others send them."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashwacht.gateway.unwrap import UnwrappingChecks
from hashwacht.settings.gateway import ClamdSettings
from support.gateway.clamd import connect, receive_all, served
from support.gateway.exact_checks import ExactChecks
from support.gateway.fake_checks import LISTED
from support.gateway.squidclamav import squidclamav_mail
from support.plugins.upload_forms import field_part, file_part, form

FORM = form(field_part(b"a title"), file_part(LISTED, b"a.png"), field_part(b""))
FOUND, OK, ERROR = b"FOUND", b"OK", b"ERROR"

Send = Callable[[Path, bytes], bytes]


def instream(path: Path, content: bytes, chunk: int, end: bytes = b"") -> bytes:
    """Send a content in chunks, and return the reply."""
    with connect(path) as connection:
        connection.sendall(b"zINSTREAM\0")
        for at in range(0, len(content), chunk):
            piece = content[at : at + chunk]
            connection.sendall(struct.pack(">I", len(piece)) + piece)
        connection.sendall(bytes(4) + end)
        return receive_all(connection)


def fildes(path: Path, content: bytes) -> bytes:
    """Pass a descriptor as c-icap's clamd_mod does, and return the reply."""
    fd = os.memfd_create("CI_TMP")
    try:
        os.write(fd, content)
        with connect(path) as connection:
            connection.sendall(b"zFILDES\0")
            socket.send_fds(connection, [b"\0"], [fd])
            return receive_all(connection)
    finally:
        os.close(fd)


PROGRAMS: dict[str, tuple[Send, Callable[..., bytes]]] = {
    "c-icap": (fildes, form),
    "clamdscan with a body file of nginx": (fildes, form),
    "squidclamav before 7.5": (lambda path, content: instream(path, content, 8192), form),
    "squidclamav 7.5": (lambda path, content: instream(path, content, 8192), squidclamav_mail),
    "a library with chunks of 1 kB": (lambda path, content: instream(path, content, 1024), form),
    "a library with one chunk": (lambda path, content: instream(path, content, 1 << 20), form),
}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    checks = UnwrappingChecks(ExactChecks(), timeout=20)
    with served(checks, tmp_path, ClamdSettings(max_stream=16 << 20)) as front:
        yield front.path


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_file_in_a_request_is_found(program: str, path: Path) -> None:
    send, body = PROGRAMS[program]
    listed = body(field_part(b"a title"), file_part(LISTED, b"a.png"), field_part(b""))
    assert FOUND in send(path, listed)
    assert OK in send(path, body(field_part(b"a title"), file_part(LISTED + b".", b"a.png")))
    assert ERROR in send(path, body(file_part(LISTED + b"."))[:-20])
    large = body(file_part(bytes(1_500_000)), file_part(LISTED))
    assert FOUND in send(path, large)


def test_a_body_padded_by_its_client_could_hide_a_file(path: Path) -> None:
    """Appwrite fills the last chunk with NUL."""
    assert ERROR in instream(path, form(file_part(LISTED + b".")) + bytes(100), 8192, b"\0")
