"""Irregular requests: cut off, cancelled, abandoned, answered early."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from hashwacht import Checker, CheckResult, Outcome, Reason, Verdict
from hashwacht_plugins import asgi, wsgi
from hashwacht_plugins.policy import OnMatch, OnUndetermined, Policy, RefusalResponse, UploadAction
from support.plugins.upload_drivers import ChunkedInput
from support.plugins.upload_forms import MULTIPART, cut, field_part, file_part, form
from support.plugins.uploads import KNOWN, Gate, descriptors, knowing
from support.processes import wait_for

Message = dict[str, Any]

REFUSED = form(file_part(KNOWN))
STORED = form(field_part(b"x"), file_part(b"other" * 3000))


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with knowing(KNOWN) as checker:
        checker.scan_stream([b"opens what stays open"])
        yield checker


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


class Server:
    """The ASGI server's side of one request, as in uvicorn: after the body there are no events."""

    def __init__(self, app: Any, *chunks: bytes, **settings: Any) -> None:
        self._app = asgi.HashwachtMiddleware(app, **settings)
        self._messages: list[Message] = []
        self._gone = asyncio.Event()
        self.sent: list[Message] = []
        for number, chunk in enumerate(chunks, 1):
            self.say({"type": "http.request", "body": chunk, "more_body": number < len(chunks)})

    def say(self, message: Message) -> None:
        self._messages.append(message)

    async def run(self) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(b"content-type", MULTIPART.encode())],
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._messages:
            await self._gone.wait()
        return self._messages.pop(0)

    async def _send(self, message: Any) -> None:
        await asyncio.sleep(0)
        self.sent.append(message)

    @property
    def statuses(self) -> list[int]:
        return [message["status"] for message in self.sent if "status" in message]


async def body_of(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client is gone")
        body, more = body + message["body"], message["more_body"]
    return body


async def answer(send: Any, status: int = 201) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"stored"})


# Applications that are slow.


@pytest.mark.parametrize("sent", [STORED, REFUSED])
def test_a_cancelled_receive_loses_no_bytes(gate: Gate, sent: bytes) -> None:
    """As in ``asyncio.wait_for(receive(), ...)`` and Starlette's ``request.is_disconnected()``."""
    received: list[bytes] = []

    async def impatient(_: Any, receive: Any, send: Any) -> None:
        async def patiently() -> Message:
            for _ in range(3):
                try:
                    return dict(await asyncio.wait_for(receive(), 0.01))
                except TimeoutError:
                    continue
            gate.open.set()
            return dict(await receive())

        received.append(await body_of(patiently))
        await answer(send)

    async def main(checker: Checker) -> list[int]:
        server = Server(impatient, *cut(sent, 100), checker=checker)
        await asyncio.wait_for(server.run(), 10)
        return server.statuses

    with Checker(lambda: gate, threads=1) as checker:
        assert asyncio.run(main(checker)) == ([201] if sent == STORED else [403])
    assert received == ([STORED] if sent == STORED else [])


def test_a_cancelled_request_ends_at_once_and_leaves_nothing(gate: Gate) -> None:
    async def main(checker: Checker) -> None:
        async def reading(_: Any, receive: Any, __: Any) -> None:
            await body_of(receive)

        server = Server(reading, STORED, checker=checker)
        task = asyncio.create_task(server.run())
        assert await asyncio.to_thread(gate.begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert server.sent == []

    with Checker(lambda: gate, threads=1) as checker:
        asyncio.run(main(checker))  # opens what the first event loop keeps open
        gate.open.set()
    before = descriptors()
    gate.open.clear()
    gate.begun.clear()
    with Checker(lambda: gate, threads=1) as checker:
        asyncio.run(main(checker))
        gate.open.set()
    assert descriptors() == before


def test_a_refused_client_that_stalls_is_answered_in_time(
    checker: Checker,
) -> None:
    async def reading(_: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        await answer(send)

    async def main() -> list[int]:
        server = Server(reading, checker=checker, policy=Policy(timeout=0.1))
        server.say({"type": "http.request", "body": b"no form", "more_body": True})
        await asyncio.wait_for(server.run(), 5)
        return server.statuses

    assert asyncio.run(main()) == [400]


def test_what_is_no_answer_yet_does_not_keep_the_refusal_back(checker: Checker) -> None:
    async def hinting(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": []})
        await body_of(receive)

    async def main() -> list[int]:
        server = Server(hinting, REFUSED, checker=checker)
        await server.run()
        return server.statuses

    assert asyncio.run(main()) == [403]


def test_a_started_response_continues_with_a_partial_file(
    checker: Checker, caplog: pytest.LogCaptureFixture
) -> None:
    async def hasty(_: Any, receive: Any, send: Any) -> None:
        await answer(send, 202)
        with pytest.raises(ConnectionError):
            await body_of(receive)

    async def main() -> list[int]:
        server = Server(hasty, *cut(REFUSED, 50), checker=checker)
        await server.run()
        return server.statuses

    assert asyncio.run(main()) == [202]
    assert "has already started its response" in caplog.text


def test_an_application_that_reads_nothing_answers_as_it_likes(checker: Checker) -> None:
    before = descriptors()

    async def closed(_: Any, __: Any, send: Any) -> None:
        await answer(send, 401)

    async def main() -> list[int]:
        server = Server(closed, REFUSED, checker=checker)
        await server.run()
        return server.statuses

    assert asyncio.run(main()) == [401]
    assert descriptors() == before


def test_reading_after_the_end_returns_nothing(checker: Checker) -> None:
    async def main() -> None:
        left: list[Any] = []

        async def forgetful(_: Any, receive: Any, send: Any) -> None:
            left.append(receive)
            await answer(send)

        server = Server(forgetful, *cut(STORED, 200), checker=checker)
        await server.run()
        before = descriptors()
        for _ in range(3):
            assert await left[0]() == {"type": "http.disconnect"}
        assert descriptors() == before

    asyncio.run(main())


@pytest.mark.parametrize("read", [False, True], ids=["before the body", "after the verdict"])
def test_errors_of_the_application_pass_and_leave_nothing(checker: Checker, read: bool) -> None:
    async def broken(_: Any, receive: Any, __: Any) -> None:
        if read:
            await body_of(receive)
        else:
            await receive()
        raise LookupError("its own")

    async def main() -> None:
        server = Server(broken, *cut(STORED, 8000, 12_000), checker=checker)
        with pytest.raises(LookupError, match="its own"):
            await server.run()

    asyncio.run(main())
    before = descriptors()
    asyncio.run(main())
    assert descriptors() == before


def test_a_client_may_vanish_at_any_byte(checker: Checker) -> None:
    body = form(field_part(b"x"), file_part(KNOWN), file_part(b"other"))

    async def reading(_: Any, receive: Any, send: Any) -> None:
        await body_of(receive)
        await answer(send)

    async def main() -> None:
        for place in range(len(body) + 1):
            server = Server(reading, checker=checker)
            server.say({"type": "http.request", "body": body[:place], "more_body": True})
            server.say({"type": "http.disconnect"})
            try:
                await asyncio.wait_for(server.run(), 10)
            except ConnectionError:
                assert server.statuses == []
            else:
                assert server.statuses == [403]  # the verdict arrived first

    asyncio.run(main())
    before = descriptors()
    asyncio.run(main())
    wait_for(lambda: descriptors() <= before)  # running checks end on their own


def test_more_uploads_than_the_limits_are_all_answered(gate: Gate) -> None:
    """With one thread and one queue slot, the others are answered at once; none is stuck."""

    async def main(checker: Checker) -> list[Any]:
        outcomes: list[Any] = []

        async def reading(scope: Any, receive: Any, send: Any) -> None:
            await body_of(receive)
            outcomes.append(scope["hashwacht"].files[0].result.reason)
            await answer(send)

        options: Any = {"checker": checker, "policy": Policy(on_match=OnMatch.OBSERVE)}
        servers = [Server(reading, *cut(STORED, 5000), **options) for _ in range(20)]
        tasks = [asyncio.create_task(server.run()) for server in servers]
        while len(outcomes) < 18:  # noqa: ASYNC110  # they end by themselves
            await asyncio.sleep(0)
        gate.open.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        assert [server.statuses for server in servers] == [[201]] * 20
        return outcomes

    with Checker(lambda: gate, threads=1, max_pending=2) as checker:
        all_outcomes = asyncio.run(main(checker))
    assert all_outcomes == [Reason.OVERLOADED] * 18 + [None] * 2


def test_a_checker_closed_during_an_upload_is_undetermined() -> None:
    outcomes: list[Any] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        closing.close()
        await body_of(receive)
        outcomes.append(scope["hashwacht"].files[0].result.reason)
        await answer(send)

    async def main() -> list[int]:
        body = form(file_part(b"other" * 9000))
        server = Server(
            reading,
            *cut(body, 15_000, 30_000),
            checker=closing,
            policy=Policy(streaming=True),
        )
        await asyncio.wait_for(server.run(), 10)
        return server.statuses

    with knowing(KNOWN) as closing:
        assert asyncio.run(main()) == [201]
    assert outcomes == [Reason.UNANSWERED]


# WSGI.


def call(app: Any, body: Any, **more: Any) -> tuple[list[str], bytes]:
    """Send one request; return the statuses passed to the server, and the response."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": MULTIPART,
        "wsgi.input": body,
        **more,
    }
    setup_testing_defaults(environ)
    statuses: list[str] = []
    chunks: list[bytes] = []

    def start_response(status: str, _: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        if exc_info is not None and chunks:
            raise exc_info[1]
        statuses.append(status)
        return chunks.append

    response = app(environ, start_response)
    try:
        for chunk in response:
            chunks.append(chunk)  # noqa: PERF402  # the one that is written to in between
    finally:
        if hasattr(response, "close"):
            response.close()
    return statuses, b"".join(chunks)


def reading(environ: Any, start_response: Any) -> Iterable[bytes]:
    while environ["wsgi.input"].read(64 << 10):
        pass
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [b"stored"]


class Broken(ChunkedInput):
    """A connection that breaks after the last chunk."""

    def read(self, size: int = -1, /) -> bytes:
        return super().read(size) or self._break()

    def _break(self) -> bytes:
        raise ConnectionResetError


def test_over_wsgi_too_a_client_may_vanish_at_any_byte(checker: Checker) -> None:
    app = wsgi.HashwachtMiddleware(reading, checker=checker)
    body = form(field_part(b"x"), file_part(KNOWN), file_part(b"other"))

    def every_place() -> None:
        for place in range(len(body)):
            try:
                statuses, _ = call(app, Broken([body[:place]]), CONTENT_LENGTH=str(len(body)))
            except ConnectionResetError:
                continue
            assert statuses == ["403 Forbidden"]  # the verdict arrived first

    every_place()
    before = descriptors()
    every_place()
    wait_for(lambda: descriptors() <= before)  # running checks end on their own


@pytest.mark.parametrize("sent", [STORED, REFUSED])
def test_both_sides_keep_to_the_letter_of_pep_3333(checker: Checker, sent: bytes) -> None:
    inner = validator(reading)

    def strict(environ: Any, start_response: Any) -> Iterable[bytes]:
        del environ["hashwacht"]  # it accepts only strings under names without a dot
        chunks: Iterable[bytes] = inner(environ, start_response)
        return chunks

    app = validator(wsgi.HashwachtMiddleware(strict, checker=checker))
    statuses, _ = call(app, io.BytesIO(sent), CONTENT_LENGTH=str(len(sent)), QUERY_STRING="")
    assert statuses == (["201 Created"] if sent == STORED else ["403 Forbidden"])


def test_a_body_without_a_length_is_checked(checker: Checker) -> None:
    """HTTP/2 needs no length, so bridges from ASGI to WSGI omit it."""
    app = wsgi.HashwachtMiddleware(reading, checker=checker)
    assert call(app, io.BytesIO(REFUSED))[0] == ["403 Forbidden"]
    assert call(app, io.BytesIO(STORED))[0] == ["201 Created"]


def test_another_thread_may_read_until_the_request_ends(
    checker: Checker,
) -> None:
    inputs: list[Any] = []

    def threaded(environ: Any, start_response: Any) -> Iterable[bytes]:
        inputs.append(environ["wsgi.input"])
        thread = threading.Thread(target=environ["wsgi.input"].read, args=(100,))
        thread.start()
        thread.join(10)
        start_response("200 OK", [])
        return [b"x"]

    app = wsgi.HashwachtMiddleware(threaded, checker=checker)
    assert call(app, ChunkedInput(cut(STORED, 200)), CONTENT_LENGTH=str(len(STORED)))[0] == [
        "200 OK"
    ]
    before = descriptors()
    with pytest.raises(OSError, match="has ended"):
        inputs[0].read()
    assert descriptors() == before


def test_what_was_written_already_is_not_taken_back(checker: Checker) -> None:
    def writing(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("202 Accepted", [])(b"begun")
        environ["wsgi.input"].read()
        raise AssertionError

    app = wsgi.HashwachtMiddleware(writing, checker=checker)
    with pytest.raises(OSError, match="refused"):
        call(app, io.BytesIO(REFUSED), CONTENT_LENGTH=str(len(REFUSED)))


def test_an_unfetched_answer_leaves_nothing(checker: Checker) -> None:
    before = descriptors()
    app = wsgi.HashwachtMiddleware(reading, checker=checker)
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": MULTIPART,
        "wsgi.input": io.BytesIO(STORED),
    }
    answer: Any = app(environ, lambda *_: lambda _: None)
    answer.close()
    assert descriptors() == before


# Settings.


def test_a_policy_accepts_strings_and_rejects_unknown_ones() -> None:
    policy = Policy(on_match="hold", on_undetermined="reject")  # type: ignore[arg-type]  # the words
    assert (policy.on_match, policy.on_undetermined) == (OnMatch.HOLD, OnUndetermined.REJECT)
    for wrong in ({"on_match": "block"}, {"on_malformed": "observe"}, {"timeout": -1}):
        with pytest.raises(ValueError, match=r"not a valid|must not be negative"):
            Policy(**wrong)


def test_a_refusal_that_could_not_be_sent_is_refused_at_once() -> None:
    for status, header in ((100, ""), (600, ""), (403, "a\r\nSet-Cookie: b")):
        with pytest.raises(ValueError, match=r"not the status|contains a line break"):
            RefusalResponse(status, b"", headers=(("X", header),))
    with pytest.raises(TypeError, match="bytes"):
        RefusalResponse(403, "text")  # type: ignore[arg-type]  # what is wrong with it


def test_of_all_that_applies_the_strictest_counts() -> None:
    match = CheckResult(Verdict(Outcome.MATCH))
    silent = CheckResult(Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED))
    policy = Policy(on_match=OnMatch.HOLD)
    assert policy.decide([match], malformed=False)[0] is UploadAction.HOLD
    assert policy.decide([match], malformed=True) == (UploadAction.REJECT, policy.malformed)
    strict = Policy(on_undetermined=OnUndetermined.REJECT)
    assert strict.decide([match, silent], malformed=True) == (UploadAction.REJECT, strict.refused)
    assert strict.decide([silent], malformed=False) == (UploadAction.REJECT, strict.unavailable)
