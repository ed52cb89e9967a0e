"""The fuzz targets: each takes arbitrary bytes, and raises only if a promise is broken."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from hashwacht.core.errors import ListError
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Fingerprint, Outcome, Signal
from hashwacht.hashing.workers.protocol import PictureResult, ReplyDecoder, encode
from hashwacht.hashing.workers.small.small_protocol import SmallReplyDecoder
from hashwacht.ipc import messages
from hashwacht.ipc.codec import FrameSplitter, ProtocolError
from hashwacht.ipc.codec import encode as encode_message
from hashwacht.ipc.messages import (
    CheckRequest,
    CourierRequest,
    DeliverRequest,
    DescribeRequest,
    NoticeEnvelope,
    SignalLookupRequest,
)
from hashwacht.matching.hashlists.parser import ListFile, ParseOptions
from hashwacht.matching.hashlists.readers.csv_rows import RowParser
from hashwacht.matching.hashlists.readers.detection import ListFormat
from hashwacht.matching.hashlists.readers.entries import (
    Item,
    ListEntry,
    ListEntryBuilder,
    MalformedLine,
)
from hashwacht.matching.services.arachnid import ArachnidProtocol
from hashwacht.matching.services.base import ServiceProtocol
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.hma import HmaProtocol
from hashwacht.multipart.events import (
    BodyEvent,
    FileChunk,
    FileDropped,
    FileEnd,
    FileStart,
    MalformedBody,
)
from hashwacht.multipart.multipart_reader import MultipartReader
from hashwacht.settings.validate import validate
from hashwacht.uploads import protocol
from hashwacht.uploads.wire import WireContext
from hashwacht.watch import fanotify_protocol
from support.services.canned import CannedMatcher

DIGESTS = ReplyDecoder({name: BUILT_IN[name] for name in ("md5", "sha256")}, ("md5/1",), ["pdq"])
SMALL = SmallReplyDecoder(("md5/1",), ["md5", "sha256"], ["pdq"])
PICTURES = ReplyDecoder({"pdq": BUILT_IN["pdq"]}, None)
MAKE = ListEntryBuilder(BUILT_IN)


def wire(content: bytes) -> None:
    """Decode a worker's answer: refused, or replies that survive encoding."""
    for count in (0, 1, 2):
        with suppress(ProtocolError):
            assert len(SMALL.decode(content, count)) == count
    for decoder in (DIGESTS, PICTURES):
        for count in (1, 2):
            try:
                replies = decoder.decode(content, count)
            except ProtocolError:
                continue
            assert decoder.decode(encode(replies), count) == replies
            wrong_type = PictureResult if decoder is DIGESTS else Fingerprint
            assert not any(isinstance(reply, wrong_type) for reply in replies)


def lists(content: bytes) -> None:
    """Read a hash list in every format: a list error, or entries in their canonical form."""
    for form in (None, *ListFormat):
        options = ParseOptions(form, default_type="md5" if content[:1] == b"m" else "")
        with suppress(ListError):
            _are_canonical(list(ListFile(io.BytesIO(content), options, BUILT_IN)))


def rows(content: bytes) -> None:
    """Parse a header and a row of CSV: no list, malformed, or entries in canonical form."""
    header, _, line = content.decode(errors="surrogateescape").partition("\n")
    with suppress(ListError, MalformedLine):
        _are_canonical(RowParser(MAKE, header)(line))


def _are_canonical(items: Sequence[Item]) -> None:
    for item in items:
        if isinstance(item, ListEntry):
            assert MAKE(item.type, item.value.hex()).value == item.value


def forms(content: bytes) -> None:
    """Parse a multipart body: the files do not depend on the chunks, or it is malformed.

    The first byte is the position of the cut.
    """
    at, body = content[0] if content else 0, content[1:]
    reader, cut = MultipartReader(b"edge"), MultipartReader(b"edge")
    events = [*reader.receive(body), *reader.finish()]
    cut_events = [*cut.receive(body[:at]), *cut.receive(body[at:]), *cut.finish()]
    assert _joined(events) == _joined(cut_events)


def _joined(events: Sequence[BodyEvent]) -> list[tuple[FileStart, bytes]] | None:
    """Return the bytes of each file; None for a body that is refused."""
    starts: dict[int, FileStart] = {}
    files: dict[int, bytes] = {}
    for event in events:
        match event:
            case MalformedBody():
                return None
            case FileStart(reading=reading):
                assert reading not in starts
                starts[reading], files[reading] = event, b""
            case FileChunk(chunk, reading):
                files[reading] += chunk
            case FileEnd(reading):
                assert reading in files, "a file ended without a beginning"
            case FileDropped(reading):
                del files[reading]
    return [(starts[reading], content) for reading, content in files.items()]


def answers(content: bytes) -> None:
    """Parse an answer of each service: a match always has a signal that was looked up."""
    md5, pdq = Signal("md5", "0" * 31 + "1"), Signal("pdq", "a5" * 32, 90)
    cases: list[tuple[Signal, ServiceProtocol]] = [
        (md5, EokmProtocol()),
        (pdq, HmaProtocol()),
        (pdq, ArachnidProtocol()),
    ]
    for signal, service in cases:
        (answer,) = CannedMatcher("service", service, content).lookup([(signal,)])
        assert (answer.outcome is Outcome.MATCH) == any(not m.known_good for m in answer.matches)
        assert (answer.outcome is Outcome.UNDETERMINED) == (answer.reason is not None)
        assert all(match.signal == signal for match in answer.matches)


def configuration(content: bytes) -> None:
    """Parse a configuration: no TOML, or settings and a list of its faults."""
    try:
        raw = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return
    _, faults = validate(raw)
    assert all(isinstance(str(fault), str) for fault in faults)


def courier(content: bytes) -> None:
    """Decode bytes between scanner and courier: refused, or our own encoding of a message."""
    with suppress(ProtocolError):
        list(FrameSplitter().feed(content))
    with suppress(ProtocolError):
        request = messages.decode_request(content)
        assert encode_message(request) == content
        assert not isinstance(request, SignalLookupRequest) or all(
            len(value) <= 4096 for _, value in request.signals
        )
    for request in _REQUESTS:
        with suppress(ProtocolError):
            reply = messages.decode_reply(content, request)
            assert messages.encode_reply(reply) == content


def uploads(content: bytes) -> None:
    """Decode bytes between application and daemon: refused, or our own encoding of a message."""
    for decode in (protocol.decode_request, protocol.decode_reply):
        with suppress(ProtocolError):
            message = decode(content)
            assert encode_message(message) == content
            if isinstance(message, protocol.UploadCheckReply):
                assert protocol.UploadCheckReply.from_result(message.to_result()) == message
            if isinstance(message, protocol.UploadCheckRequest) and message.context is not None:
                context = WireContext.from_context(message.context)
                assert context == message.wire_context


def watcher(content: bytes) -> None:
    """Decode bytes between scanner and watcher: refused, or our own encoding of a message."""
    with suppress(ProtocolError):
        request = fanotify_protocol.decode_request(content)
        assert encode_message(request) == content
    with suppress(ProtocolError):
        reply = fanotify_protocol.decode_reply(content, 3)
        if isinstance(reply, list):
            assert all(announcement.root < 3 for announcement in reply)
        else:
            assert encode_message(reply) == content


_REQUESTS: Sequence[CourierRequest] = (
    SignalLookupRequest("eokm", (("md5", "0" * 32), ("pdq", "a5" * 32))),
    CheckRequest("eokm"),
    DescribeRequest(),
    DeliverRequest(
        "mail", "0" * 32, (NoticeEnvelope("0" * 32, Notice(NoticeKind.TEST, 0.0, "a test")),)
    ),
)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "wire": wire,
    "lists": lists,
    "rows": rows,
    "forms": forms,
    "answers": answers,
    "configuration": configuration,
    "courier": courier,
    "uploads": uploads,
    "watcher": watcher,
}
