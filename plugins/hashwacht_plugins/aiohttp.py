"""A reader for aiohttp: the file in a part or body, which waits for its verdict.

::

    scan = UploadScanner(Checker.configured())

    async def upload(request):
        async for part in await request.multipart():
            async with scan.part(request, part) as picture:
                async for chunk in picture:
                    file.write(chunk)

The chunks are returned when the verdict is known; with ``Policy(streaming=True)`` as they arrive,
except for the last (4 KiB or more). If the policy refuses the file, :class:`UploadRefused` is
raised instead, which aiohttp turns into the response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from aiohttp import BodyPartReader, MultipartReader, web

from hashwacht import Checker, CheckResult, UploadContext
from hashwacht.multipart.events import FileStart
from hashwacht_plugins.awaiting import wait_any
from hashwacht_plugins.context import ClientInfo, Peer
from hashwacht_plugins.file_check import (
    FileCheck,
    log_result,
    log_unheld,
    result_or_undetermined,
)
from hashwacht_plugins.held_bytes import TAIL, HeldBytes
from hashwacht_plugins.middleware_settings import CHUNK
from hashwacht_plugins.policy import Policy, RefusalResponse, UploadAction
from hashwacht_plugins.request_body import RequestHead


class UploadRefused(web.HTTPException):
    """The policy refuses an upload: the response for the client."""

    def __init__(self, refusal: RefusalResponse) -> None:
        self.status_code = refusal.status
        headers = {"Content-Type": refusal.content_type, **dict(refusal.headers)}
        super().__init__(text=refusal.body.decode("utf-8", "replace"), headers=headers)


class UploadScanner:
    """Creates readers; one object serves the whole application."""

    def __init__(
        self,
        checker: Checker,
        *,
        policy: Policy | None = None,
        client_info: ClientInfo | None = None,
    ) -> None:
        """Check with *checker*; *policy* applies to each file separately."""
        self._checker = checker
        self._policy = policy or Policy()
        self._client_info = client_info or ClientInfo()

    def part(
        self, request: web.BaseRequest, part: BodyPartReader | MultipartReader | None
    ) -> ScannedReader:
        """Return a reader for a part of a multipart body.

        Raises HTTPBadRequest for a nested multipart: no browser sends one, and its parts would not
        be checked.
        """
        if not isinstance(part, BodyPartReader):
            raise web.HTTPBadRequest(text="Nested multiparts are not accepted.\n")
        file = FileStart(part.name or "", part.filename or "", part.headers.get("Content-Type", ""))
        return self._reader(request, file, _chunks_of_part(part))

    def body(self, request: web.BaseRequest) -> ScannedReader:
        """Return a reader for a body that is one file."""
        name = request.path.rpartition("/")[2]
        chunks = request.content.iter_chunked(CHUNK)
        return self._reader(request, FileStart("", name, request.content_type), chunks)

    def _reader(
        self, request: web.BaseRequest, file: FileStart, chunks: AsyncIterator[bytes]
    ) -> ScannedReader:
        context = self._client_info.upload_context(
            parse_request(request), client_address(request), file, request
        )
        return ScannedReader(
            FileCheck(self._checker, self._policy), self._policy, file, context, chunks
        )


class ScannedReader:
    """Iterates over the chunks of a file inside ``async with``; they wait for the verdict.

    *file* describes it; *result* is None until all of it has been read.
    """

    def __init__(
        self,
        check: FileCheck,
        policy: Policy,
        file: FileStart,
        context: UploadContext,
        chunks: AsyncIterator[bytes],
    ) -> None:
        self.file = file
        self.result: CheckResult | None = None
        self._check, self._policy, self._context, self._chunks = check, policy, context, chunks
        self._held = HeldBytes(policy.spool, spooled=policy.holds_files)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield chunks.  Raises UploadRefused, and any error of reading."""
        try:
            async for chunk in self._chunks:
                self._check.write(chunk)
                self._hold(chunk)
                if self._check.fault is not None and self.result is None:
                    await self._conclude()
                while passable := self._passable():
                    yield passable
            if self.result is None:
                await self._conclude()
            while rest := self._held.take(0):
                yield rest
        finally:
            self._held.close()

    def _hold(self, chunk: bytes) -> None:
        try:
            self._held.add(chunk)
        except OSError as error:
            log_unheld(error)
            raise UploadRefused(self._policy.unavailable) from error

    def _passable(self) -> bytes:
        if self.result is not None:
            return self._held.take(0)
        return b"" if self._policy.holds_files else self._held.take(TAIL)

    async def read(self) -> bytes:
        """Return the whole content.  Raises UploadRefused, and any error of reading."""
        return b"".join([chunk async for chunk in self])

    async def _conclude(self) -> None:
        future = self._check.finish(self._context)
        await wait_any([future], self._policy.timeout)
        self.result = result_or_undetermined(future)
        log_result(self.result)
        action, refusal = self._policy.decide([self.result], malformed=False)
        if action is UploadAction.REJECT:
            raise UploadRefused(refusal)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._check.close()
        self._held.close()


async def _chunks_of_part(part: BodyPartReader) -> AsyncIterator[bytes]:
    """Yield the chunks of a part, its transfer encoding decoded."""
    while chunk := await part.read_chunk(CHUNK):
        yield bytes(part.decode(chunk))


def parse_request(request: web.BaseRequest) -> RequestHead:
    """Return the head of a request; repeated headers are joined (RFC 9110, 5.3)."""
    names = {name.lower() for name in request.headers}
    headers = {name: ", ".join(request.headers.getall(name)) for name in names}
    return RequestHead(request.method, request.path, request.query_string, headers)


def client_address(request: web.BaseRequest) -> Peer:
    """Return address and port of the peer."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("", None)
