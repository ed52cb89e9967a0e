"""One check of one file: what a hook sends to the daemon or the gateway, and the verdict.

The open file goes to the daemon's upload socket, with the messages of hashwacht.uploads.protocol,
or its bytes to the HTTP socket of the gateway.  The start of a process is most of the time that a
hook takes: this package imports few and small modules, and nothing of the rest of Hashwacht.
"""

from __future__ import annotations

import _socket
import binascii
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "/run/hashwacht-uploads/uploads.sock"
"""The default of uploads.socket in the configuration."""

PROTOCOL, MAX_REPLY, MAX_TEXT = 4, 1 << 20, 1024
"""Version of the messages, bytes of a reply, and characters of a text."""

RESTART, DELAY = 2.0, 0.1
"""Seconds to wait for a daemon that restarts, and between two attempts."""

PIECE = 256 << 10

FLAGS = {"--describe"}
"""Options of a hook that it reads from its arguments."""

MATCH, NO_MATCH, UNDETERMINED, ACCEPTED = "match", "no-match", "undetermined", "accepted"
OVERLOADED = "overloaded"


class Closed(Exception):
    """The other end closed the connection, or sent something else than a reply."""


class UsageError(Exception):
    """The arguments are wrong."""


class Verdict:
    """The outcome for one file; *event* finds its case, *reason* is why it is undetermined."""

    def __init__(self, outcome: str, reason: str = "", event: str = "") -> None:
        self.outcome, self.reason, self.event = outcome, reason, event

    @property
    def name(self) -> str:
        """Return what an uploader may be shown: it names neither list nor reason."""
        word = "Refused" if self.outcome == MATCH else "Undetermined"
        return ".".join(filter(None, ("Hashwacht", word, self.event)))

    @property
    def text(self) -> str:
        """Return a sentence for the uploader."""
        reference = f" (reference {self.event})" if self.event else ""
        if self.outcome == MATCH:
            return f"This upload cannot be accepted.{reference}"
        return f"This upload cannot be accepted at the moment.{reference}"


class Options:
    """The options of a call, and what is known of the upload."""

    def __init__(self) -> None:
        self.hook = ""
        self.socket, self.http = SOCKET, ""
        self.on_undetermined = "refuse"
        self.seconds = 8.0
        self.waits = True
        self.then = ""
        self.facts: dict[str, str] = {}

    def passes(self, verdict: Verdict) -> bool:
        """Return whether an upload is accepted.

        An overloaded daemon refuses even with ``--on-undetermined pass``: otherwise a client
        could have a listed file accepted by sending many others.
        """
        if verdict.outcome == UNDETERMINED:
            return self.on_undetermined == "pass" and verdict.reason != OVERLOADED
        return verdict.outcome == NO_MATCH

    def parse(self, arguments: list[str]) -> list[str]:
        """Take the options off the arguments and return the others.  Raises UsageError."""
        pending = list(arguments)
        while pending and pending[0].startswith("--") and pending[0] not in FLAGS:
            name, equals, value = pending.pop(0)[2:].partition("=")
            if name == "":
                break
            if not equals:
                if not pending:
                    raise UsageError(f"--{name} needs a value")
                value = pending.pop(0)
            self._set(name, value)
        return pending

    def _set(self, name: str, value: str) -> None:
        if name in {"user", "address", "name", "path"}:
            self.facts[name] = value
        elif name in {"socket", "http", "then"}:
            setattr(self, name, value)
        elif name == "on-undetermined" and value in {"refuse", "pass"}:
            self.on_undetermined = value
        elif name == "seconds" and value.replace(".", "", 1).isdigit():
            self.seconds = float(value)
        else:
            raise UsageError(f"--{name} {value} is not understood")


def check(path: str, options: Options) -> Verdict:
    """Return the verdict on a file; one that cannot be opened is undetermined."""
    if path == "-":
        return check_input(options)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        log(f"{path!r} cannot be opened: {error.strerror}")
        return Verdict(UNDETERMINED, "unreadable")
    try:
        return check_fd(fd, options, private=False)
    finally:
        os.close(fd)


def check_input(options: Options) -> Verdict:
    """Return the verdict on standard input, which is copied to an unlinked file."""
    directory = os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108  # O_TMPFILE needs no name
    try:
        fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log(f"no temporary file in {directory!r}: {error.strerror}; set TMPDIR")
        return Verdict(UNDETERMINED, "unreadable")
    try:
        while piece := os.read(0, PIECE):
            while piece:
                piece = piece[os.write(fd, piece) :]
        return check_fd(fd, options, private=True)
    except OSError as error:
        log(f"standard input cannot be read or stored: {error.strerror}")
        return Verdict(UNDETERMINED, "unreadable")
    finally:
        os.close(fd)


def check_fd(fd: int, options: Options, *, private: bool) -> Verdict:
    """Return the verdict on an open file; try again while the daemon restarts or is overloaded."""
    started = time.monotonic()
    deadline = started + options.seconds
    while True:
        limit = min(deadline, started + RESTART)
        try:
            if options.http:
                verdict = ask_gateway(fd, options, deadline)
            else:
                verdict = ask_daemon(fd, options, deadline, private=private)
            if verdict.reason != OVERLOADED:
                return verdict
            problem, limit = "too many uploads at once", deadline
        except PermissionError:
            problem, limit = "permission denied; add this user to the group uploads.group", 0.0
            verdict = Verdict(UNDETERMINED, "unanswered")
        except (OSError, Closed) as error:
            problem = str(error) or "no answer in time"
            verdict = Verdict(UNDETERMINED, "unanswered")
        if time.monotonic() + DELAY > limit:
            log(f"{options.http or options.socket}: {problem}")
            return verdict
        time.sleep(DELAY)


def ask_daemon(fd: int, options: Options, deadline: float, *, private: bool) -> Verdict:
    """Send the descriptor to the upload socket, and return the verdict.

    Without ``options.waits`` the answer is ACCEPTED: the daemon goes on without this program.
    """
    event = os.urandom(4).hex()
    body = request_body(options.facts, event, private=private)
    message = frame_header(len(body)) + body
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))
    connection = connect(options.socket, deadline)
    try:
        pending = message[connection.sendmsg([message], [rights]) :]
        if pending:  # an empty send fails if the daemon has replied and closed already
            connection.sendall(pending)
        words = receive_words(connection, deadline)
        if words[0] == ACCEPTED:
            if not options.waits:
                return Verdict(ACCEPTED)
            words = receive_words(connection, deadline)
    finally:
        connection.close()
    if words[0] == "failed":
        return Verdict(UNDETERMINED, OVERLOADED if words[-1] == "true" else "unanswered")
    if words[0] != "checked" or words[1] not in {MATCH, NO_MATCH, UNDETERMINED}:
        raise Closed("an unexpected reply: restart the daemon if it is of another version")
    return Verdict(words[1], words[2], event)


def request_body(facts: Mapping[str, str], event: str, *, private: bool) -> bytes:
    """Return the message that asks for a check: canonical JSON, with texts of clients in base64."""
    received = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    address, user, path, name = (
        '"' + binascii.b2a_base64(client_text(facts.get(key, "")), newline=False).decode() + '"'
        for key in ("address", "user", "path", "name")
    )
    context = f'"{received}",{address},null,{user},{path},"",{name},"",null,"{event}"'
    return f'["check",{"true" if private else "false"},[{context}]]'.encode()


def client_text(text: str) -> bytes:
    """Return a text as UTF-8, cut; bytes that are no UTF-8 are surrogates."""
    return text[:MAX_TEXT].encode("utf-8", "surrogatepass")


def frame_header(length: int) -> bytes:
    """Return the header of message number 1."""
    return bytes((PROTOCOL, 0, 0, 0)) + (1).to_bytes(4, "big") + length.to_bytes(4, "big")


def receive_words(connection: _socket.socket, deadline: float) -> list[str]:
    """Return the first words of the next reply, and the last; "null" is empty."""
    header = receive(connection, 12, deadline)
    length = int.from_bytes(header[8:], "big")
    if header[0] != PROTOCOL or length > MAX_REPLY:
        raise Closed("a reply of another version: restart the daemon")
    reply = receive(connection, length, deadline).decode("utf-8", "replace").strip("[]")
    words = reply.split(",", 3)[:3] + reply.rsplit(",", 1)[-1:]
    return [word.strip('"').replace("null", "") for word in words]


def receive(connection: _socket.socket, length: int, deadline: float) -> bytes:
    """Return exactly *length* bytes.  Raises Closed, OSError."""
    received = b""
    while len(received) < length:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = connection.recv(length - len(received))
        if not piece:
            raise Closed("the daemon closed the connection")
        received += piece
    return received


def connect(path: str, deadline: float) -> _socket.socket:
    """Return a connection to a Unix socket.  Raises OSError."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def ask_gateway(fd: int, options: Options, deadline: float) -> Verdict:
    """Send the content to the HTTP socket of the gateway, and return the verdict."""
    size, offset = os.fstat(fd).st_size, 0
    connection = connect(options.http, deadline)
    try:
        connection.sendall(http_head(options.facts, size))
        while offset < size and (piece := os.pread(fd, min(PIECE, size - offset), offset)):
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.sendall(piece)
            offset += len(piece)
        if offset < size:
            return Verdict(UNDETERMINED, "changed-while-read")
        reply = receive_all(connection, deadline)
    finally:
        connection.close()
    event = reply.partition(b"Reference: ")[2][:8].decode("ascii", "replace")
    status = reply.partition(b" ")[2][:3]
    if status == b"403" and event:
        return Verdict(MATCH, event=event)
    if status == b"429":
        return Verdict(UNDETERMINED, OVERLOADED)
    if not status.isdigit():
        raise Closed("no HTTP response")
    return Verdict(NO_MATCH if status == b"204" else UNDETERMINED, "unanswered")


def http_head(facts: Mapping[str, str], size: int) -> bytes:
    """Return the head of a request; texts are encoded by RFC 8187."""
    lines = [
        "POST /v1/check?answer=status HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Content-Type: application/octet-stream",
        f"Content-Length: {size}",
    ]
    if facts.get("address"):
        lines.append(f"Hashwacht-Client: {facts['address']}")
    for key, name in (("user", "User"), ("path", "Path"), ("name", "File-Name")):
        text = facts.get(key, "")[:MAX_TEXT].encode("utf-8", "replace")
        if text:
            lines.append(f"Hashwacht-{name}: utf-8''" + "".join(f"%{byte:02X}" for byte in text))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")


def receive_all(connection: _socket.socket, deadline: float) -> bytes:
    """Return what the other end sends until it closes.  Raises OSError."""
    received = b""
    while len(received) < MAX_REPLY:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = connection.recv(PIECE)
        if not piece:
            break
        received += piece
    return received


def log(problem: str) -> None:
    """Write a problem to the system log: what a server does with other output varies."""
    import syslog

    syslog.openlog("hashwacht-hook", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_WARNING, problem.replace("\n", "?"))


def write(text: str) -> None:
    """Print a text in one piece; a reader that has gone is no error."""
    try:  # noqa: SIM105  # contextlib would cost a third of the start
        os.write(1, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass
