"""The same bytes to a real clamd and to our server: the replies are equal.

Names and numbers of descriptors differ, and so do versions and statistics, of which only the form
is compared.  Known differences, in which ours is safer, are not generated: bytes after the last
command of a connection (clamd adds an error, and after END it may never close it), a CR in a
session (clamd then misreads what follows), and SHUTDOWN (which we refuse).  Where clamd loses
replies because it closes a session at a wrong command, ours has more.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.gateway.clamd import (
    MAX_STREAM,
    Packet,
    RealClamd,
    ServedFront,
    exchange,
    served,
)
from support.gateway.fake_checks import LISTED, FakeChecks

EXAMPLES = int(os.environ.get("HASHWACHT_CLAMD_EXAMPLES", "40"))

_GARBAGE = b"Error processing command. ERROR"

_NORMALISED = [
    (rb"Hashwacht\.Refused\.[0-9a-f]{8}|listed\.0\.UNOFFICIAL", b"NAME"),
    (rb"fd\[\d+\]", b"fd[N]"),
    (rb"File path check failure: [A-Za-z ]+\.|Access denied\.", b"DENIED."),
    (rb"ClamAV [0-9.]+(/\d+/[A-Za-z0-9: ]+)?", b"VERSION"),
    (rb"POOLS: [^\0]*?\nEND", b"STATS"),
]


def normalised(reply: bytes) -> bytes:
    """Return *reply* without what may differ."""
    for pattern, text in _NORMALISED:
        reply = re.sub(pattern, text, reply)
    return reply


@dataclass(frozen=True)
class Servers:
    """Both servers, and a directory with a listed and another file."""

    real: RealClamd
    ours: ServedFront
    directory: Path

    def compare(
        self, sent: list[Packet | bytes], *, half_closes: bool = False, trailing: bool = False
    ) -> None:
        """Assert that both reply the same to *sent*; *trailing*: except to what follows it."""
        pause = 0.01 if len(sent) > 1 else 0.0
        replies = [
            normalised(exchange(path, sent, half_closes=half_closes, pause=pause))
            for path in (self.real.path, self.ours.path)
        ]
        real, ours = (sorted(re.split(rb"(?<=[\0\n])", reply)) for reply in replies)
        if trailing:
            real, ours = ([x for x in lines if _GARBAGE not in x] for lines in (real, ours))
        lossy = b"invalid inside" in replies[0] or b"ERROR\0" in replies[0][-40:]
        if lossy and b"1: " in replies[1]:
            assert set(real) <= set(ours)
        else:
            assert ours == real


@pytest.fixture(scope="module")
def servers(clamd: RealClamd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Run both on the same files."""
    directory = tmp_path_factory.mktemp("files")
    directory.chmod(0o755)
    (directory / "a").mkdir()
    contents = {"a/listed": LISTED, "other": b"other", "empty": b""}
    paths = {}
    for name, content in contents.items():
        (directory / name).write_bytes(content)
        paths[bytes(directory / name)] = content
    with served(ExactChecks(paths=paths), directory) as ours:
        yield Servers(clamd, ours, directory)


class ExactChecks(FakeChecks):
    """Matches whole contents only, as a list of digests does."""

    def is_listed(self, content: bytes) -> bool:
        """Return whether *content* is listed."""
        return content in self.listed


@cache
def descriptor(content: bytes) -> int:
    """Return a descriptor that stays open."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return os.dup(file.fileno())


contents = st.sampled_from([LISTED, b"", b"other", LISTED + b"x", b"y" * 5000]) | st.binary(
    max_size=50
)
ends = st.sampled_from([(b"z", b"\0"), (b"n", b"\n")])
words = st.sampled_from(
    [
        *(b"PING", b"VERSION", b"VERSIONCOMMANDS", b"STATS", b"END", b"DETSTATS"),
        *(b"RELOADX", b"PINGX", b"SCAN", b"FOO", b"ping", b"CONTSCAN", b"PING "),
    ]
)
paths = st.sampled_from([b"a", b"a/listed", b"other", b"empty", b"none", b"../x", b""])


@st.composite
def streams(draw: st.DrawFn, *, in_session: bool) -> bytes:
    """Return INSTREAM with a content in chunks of any size; rarely more than permitted."""
    prefix, end = draw(ends)
    content = draw(contents)
    size = draw(st.integers(1, 6000))
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    framed = b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)
    if not in_session and draw(st.integers(0, 9)) == 0:
        return prefix + b"INSTREAM" + end + framed + (MAX_STREAM + 1).to_bytes(4, "big")
    return prefix + b"INSTREAM" + end + framed + bytes(4)


@st.composite
def commands(draw: st.DrawFn, directory: bytes, *, in_session: bool) -> list[Packet | bytes]:
    """Return what one command sends."""
    prefix, end = draw(ends)
    kinds = ["word", "path", "stream", "descriptor", *(() if in_session else ("lost",))]
    kind = draw(st.sampled_from(kinds))
    if kind == "word":
        word = draw(words)
        # clamd may never close a session in which more follows a wrong command.
        valid = word in {b"VERSION", b"VERSIONCOMMANDS", b"STATS"} or not in_session
        return [prefix + (word if valid else b"PING") + end]
    if kind == "path":
        word = (
            b"SCAN"
            if in_session
            else draw(st.sampled_from([b"SCAN", b"CONTSCAN", b"MULTISCAN", b"ALLMATCHSCAN"]))
        )
        return [prefix + word + b" " + directory + b"/" + draw(paths) + end]
    if kind == "stream":
        return [draw(streams(in_session=in_session))]
    descriptors = (descriptor(draw(contents)),) if kind == "descriptor" else ()
    command = prefix + b"FILDES" + end
    if draw(st.booleans()):
        return [command, Packet(b"\0", descriptors)]
    return [Packet(command + b"\0", descriptors)]


@st.composite
def in_pieces(draw: st.DrawFn, packets: list[Packet | bytes]) -> list[Packet | bytes]:
    """Return *packets* with those without a descriptor joined and cut at random."""
    result: list[Packet | bytes] = []
    for packet in packets:
        if isinstance(packet, Packet) and packet.descriptors:
            result.append(packet)
            continue
        data = packet.data if isinstance(packet, Packet) else packet
        last = result[-1] if result else None
        if isinstance(last, bytes) and len(last) < 2000 and draw(st.booleans()):
            result[-1] = last + data
        elif len(data) > 2 and draw(st.integers(0, 3)) == 0:
            cut = draw(st.integers(1, len(data) - 1))
            result += [data[:cut], data[cut:]]
        else:
            result.append(data)
    return result


limited = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@limited
@given(st.data())
def test_one_command_has_the_reply_of_clamd(servers: Servers, data: st.DataObject) -> None:
    packets = data.draw(commands(bytes(servers.directory), in_session=False))
    servers.compare(data.draw(in_pieces(packets)), half_closes=True)


@limited
@given(st.data())
def test_a_session_has_the_replies_of_clamd(servers: Servers, data: st.DataObject) -> None:
    command = commands(bytes(servers.directory), in_session=True)
    number = data.draw(st.integers(0, 5))
    packets = [packet for _ in range(number) for packet in data.draw(command)]
    prefix, end = data.draw(ends)
    packets = [prefix + b"IDSESSION" + end, *packets, prefix + b"END" + end]
    servers.compare(data.draw(in_pieces(packets)))


@limited
@given(st.sampled_from([b"", b"z", b"n", b"zIDSESSION\0"]), st.binary(max_size=60))
def test_garbage_has_the_reply_of_clamd(servers: Servers, prefix: bytes, garbage: bytes) -> None:
    if b"\r" in garbage or re.search(rb"SHUTDOWN|QUIT", garbage):
        garbage = b"garbage"
    servers.compare([prefix + garbage + b"\0\n"], half_closes=True, trailing=True)


@pytest.mark.parametrize("command", [b"PING", b"PING\r\n", b"VERSION", b"STATS", b"SCAN", b"FOO"])
def test_an_old_command_has_the_reply_of_clamd(servers: Servers, command: bytes) -> None:
    servers.compare([command])


@pytest.mark.parametrize("word", ["SCAN", "CONTSCAN", "MULTISCAN", "ALLMATCHSCAN"])
@pytest.mark.parametrize("name", ["a", "a/listed", "other", "empty", "none"])
def test_an_old_command_with_a_path_has_the_reply_of_clamd(
    servers: Servers, word: str, name: str
) -> None:
    servers.compare([f"{word} {servers.directory}/{name}".encode()])
    servers.compare([f"{word} {servers.directory}/{name}\r\n".encode()])
