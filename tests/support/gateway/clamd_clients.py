"""What programs that cannot be installed here send to clamd, and how they read the reply.

Each follows its source, which the docstring of its reader names; none of it is copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from support.gateway.clamd import instream

Reader = Callable[[bytes, bytes], bool]
"""Returns whether the client accepts the file: from the reply, and the path that was sent."""


@dataclass(frozen=True)
class RecordedClient:
    """A program: *request* returns its bytes for a content at a path.

    *accepts* reads the reply; *accepts_refused*: what it does without a connection.
    """

    name: str
    request: Callable[[bytes, bytes], bytes]
    accepts: Reader
    accepts_refused: bool = False


def _instream(chunk: int, command: bytes = b"zINSTREAM\0") -> Callable[[bytes, bytes], bytes]:
    return lambda content, _: instream(content, chunk, command)


def _one_chunk(content: bytes, _: bytes) -> bytes:
    return instream(content, len(content))


def _padded(content: bytes, _: bytes) -> bytes:
    """Return a stream whose last chunk is filled with NUL, ended by five bytes."""
    return instream(content + bytes(-len(content) % 8192), 8192) + b"\0"


def _haraka(content: bytes, _: bytes) -> bytes:
    header = b"Received: from Haraka clamd plugin\r\n"
    return b"zINSTREAM\0" + len(header).to_bytes(4, "big") + header + instream(content, 65536, b"")


def _session(content: bytes, _: bytes) -> bytes:
    return b"zIDSESSION\0" + instream(content, 2048) + b"zEND\0"


def _nextcloud(reply: bytes, _: bytes) -> bool:
    """Read one line by the rules of its database, in order; unchecked is blocked by default."""
    return re.search(rb".*: OK$", reply.partition(b"\n")[0]) is not None


def _go_clamd(reply: bytes, _: bytes) -> bool:
    """Refuse only what the expression of go-clamd takes for FOUND, as OpenCloud does."""
    parsed = re.search(rb"^[^:]+: (.* )?(FOUND|ERROR|OK)\n?$", reply)
    return parsed is None or parsed[2] != b"FOUND"


def _quahog(reply: bytes, _: bytes) -> bool:
    """Read the status behind the first colon; without one it is empty, which is no OK."""
    return reply.partition(b": ")[2].strip(b"\r\n\0") == b"OK"


def _appwrite(reply: bytes, _: bytes) -> bool:
    return reply.rpartition(b":")[2].strip(b" \n\0") == b"OK"


def _contains_found(reply: bytes, _: bytes) -> bool:
    """Accept everything without FOUND, as Discourse and squidclamav do."""
    return b"FOUND" not in reply


def _last_word(reply: bytes, _: bytes) -> bool:
    """Read the last word of a reply with a colon; all but OK is deferred, as Exim does."""
    return b":" in reply and reply.rstrip(b"\n\0").endswith(b" OK")


def _haraka_reply(reply: bytes, _: bytes) -> bool:
    return re.match(rb"stream: OK", reply) is not None or b"size limit" in reply


def _rspamd(reply: bytes, _: bytes) -> bool:
    return reply.rstrip(b"\n\0") == b"stream: OK"


def _milter(reply: bytes, _: bytes) -> bool:
    return len(reply) <= 128 and reply.endswith(b": OK\n")


def _samba(reply: bytes, path: bytes) -> bool:
    """Read what follows the path and a colon; an error passes unless errors are blocked."""
    head = path + b": "
    return not (reply.startswith(head) and reply.rstrip(b"\0").endswith(b" FOUND"))


def _samba_blocking(reply: bytes, path: bytes) -> bool:
    head = path + b": "
    return reply.startswith(head) and reply[len(head) :].rstrip(b"\0") == b"OK"


def _mod_clamav(reply: bytes, _: bytes) -> bool:
    """Look for words before a line feed; no reply at all passes."""
    return b"FOUND\n" not in reply and b"ERROR\n" not in reply


def _amavis(reply: bytes, _: bytes) -> bool:
    lines = re.search(rb"\bOK$", reply, re.MULTILINE)
    return lines is not None and not re.search(rb"\bFOUND$", reply, re.MULTILINE)


def _clamfs(reply: bytes, _: bytes) -> bool:
    return reply.rstrip(b"\n").endswith(b": OK")


CLIENTS = [
    RecordedClient("nextcloud", _instream(8192, b"nINSTREAM\n"), _nextcloud),
    RecordedClient("opencloud", _instream(1024, b"nINSTREAM\n"), _go_clamd),
    RecordedClient("quahog", _instream(1024, b"nINSTREAM\n"), _quahog),
    RecordedClient("appwrite", _padded, _appwrite),
    RecordedClient("appwrite-path", lambda _, path: b"SCAN " + path, _appwrite),
    RecordedClient("discourse", _session, _contains_found, accepts_refused=True),
    RecordedClient("exim", _one_chunk, _last_word),
    RecordedClient("exim-path", lambda _, path: b"SCAN " + path + b"\n", _last_word),
    RecordedClient("squidclamav", _instream(8192), _contains_found),
    RecordedClient("haraka", _haraka, _haraka_reply),
    RecordedClient("rspamd", _one_chunk, _rspamd),
    RecordedClient("clamav-milter", _instream(8192, b"nINSTREAM\n"), _milter),
    RecordedClient("samba", lambda _, path: b"zSCAN " + path + b"\0", _samba, True),
    RecordedClient("samba-blocking", lambda _, path: b"zSCAN " + path + b"\0", _samba_blocking),
    RecordedClient("mod_clamav", lambda _, path: b"SCAN " + path + b"\n", _mod_clamav),
    RecordedClient(
        "mod_clamav-stream",
        lambda content, _: instream(content, 4096, b"nINSTREAM\n") + b"\n",
        _mod_clamav,
    ),
    RecordedClient("amavis", lambda _, path: b"CONTSCAN " + path + b"\n", _amavis),
    RecordedClient("clamfs", lambda _, path: b"nSCAN " + path + b"\n", _clamfs),
    RecordedClient("clamfs-stream", lambda c, _: instream(c, len(c), b"nINSTREAM\n"), _clamfs),
]
