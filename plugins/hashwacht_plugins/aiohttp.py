"""A reader for aiohttp: the file of a part or of a body, whose end waits for the verdict.

::

    scan = Scan(Checker.configured())

    async def upload(request):
        async for part in await request.multipart():
            async with scan.part(request, part) as picture:
                async for chunk in picture:
                    file.write(chunk)

The last chunk (4 KiB or more) comes when the verdict is there; if the policy refuses,
:class:`UploadRefused` is raised in its place, which aiohttp turns into the answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from aiohttp import BodyPartReader, MultipartReader, web

from hashwacht import Checker, UploadContext
from hashwacht_plugins.awaiting import wait_any
from hashwacht_plugins.context import ClientInfo, Peer
from hashwacht_plugins.findings import FileResult, log_result, result_or_undetermined
from hashwacht_plugins.middleware_settings import CHUNK
from hashwacht_plugins.multipart.events import FileStart, RequestHead
from hashwacht_plugins.policy import Policy, RefusalResponse, UploadAction
from hashwacht_plugins.upload import TAIL, ByteQueue, FileCheck


class UploadRefused(web.HTTPException):
    """The policy refuses an upload: the answer that the client gets."""

    def __init__(self, refusal: RefusalResponse) -> None:
        self.status_code = refusal.status
        headers = {"Content-Type": refusal.content_type, **dict(refusal.headers)}
        super().__init__(text=refusal.body.decode("utf-8", "replace"), headers=headers)


class UploadScanner:
    """Makes readers.  One for the application."""

    def __init__(
        self,
        checker: Checker,
        *,
        policy: Policy | None = None,
        client_info: ClientInfo | None = None,
    ) -> None:
        """Check with *checker*; *policy* counts for each file by itself."""
        self._checker = checker
        self._policy = policy or Policy()
        self._facts = client_info or ClientInfo()

    def part(
        self, request: web.BaseRequest, part: BodyPartReader | MultipartReader | None
    ) -> ScannedReader:
        """Read a part of a multipart body.

        Raises HTTPBadRequest for a multipart in a multipart: no browser sends one, and its parts
        would not have been checked.
        """
        if not isinstance(part, BodyPartReader):
            raise web.HTTPBadRequest(text="A multipart in a multipart is not accepted.\n")
        file = FileStart(part.name or "", part.filename or "", part.headers.get("Content-Type", ""))
        return self._reader(request, file, _chunks_of_part(part))

    def body(self, request: web.BaseRequest) -> ScannedReader:
        """Read a body that is one file."""
        name = request.path.rpartition("/")[2]
        chunks = request.content.iter_chunked(CHUNK)
        return self._reader(request, FileStart("", name, request.content_type), chunks)

    def _reader(
        self, request: web.BaseRequest, file: FileStart, chunks: AsyncIterator[bytes]
    ) -> ScannedReader:
        context = self._facts.upload_context(
            parse_request(request), client_address(request), file, request
        )
        return ScannedReader(
            FileCheck(self._checker, self._policy), self._policy, file, context, chunks
        )


class ScannedReader:
    """``async with`` it, and iterate: bytes as they come, the last ones with the verdict.

    *known* is what is known of the file, None until all of it was read.
    """

    def __init__(
        self,
        taking: FileCheck,
        policy: Policy,
        file: FileStart,
        context: UploadContext,
        chunks: AsyncIterator[bytes],
    ) -> None:
        self.file = file
        self.known: FileResult | None = None
        self._taking, self._policy, self._told, self._chunks = taking, policy, context, chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield chunks.  Raises UploadRefused, and whatever reading raises."""
        held = ByteQueue()
        async for chunk in self._chunks:
            self._taking.write(chunk)
            held.add(chunk)
            if passable := held.take(TAIL):
                yield passable
        await self._conclude()
        if rest := held.take(0):
            yield rest

    async def read(self) -> bytes:
        """Return the whole content.  Raises UploadRefused, and whatever reading raises."""
        return b"".join([chunk async for chunk in self])

    async def _conclude(self) -> None:
        future = self._taking.finish(self._told)
        await wait_any([future], self._policy.timeout)
        checked = result_or_undetermined(future)
        log_result(checked)
        file = self.file
        self.known = FileResult(file.field, file.file_name, file.declared_type, checked)
        action, refusal = self._policy.decide([checked], malformed=False)
        if action is UploadAction.REJECT:
            raise UploadRefused(refusal)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._taking.close()


async def _chunks_of_part(part: BodyPartReader) -> AsyncIterator[bytes]:
    """Read a part, its transfer encoding decoded."""
    while chunk := await part.read_chunk(CHUNK):
        yield bytes(part.decode(chunk))


def parse_request(request: web.BaseRequest) -> RequestHead:
    """Read the head of a request; headers that come twice are joined, as RFC 9110, 5.3 says."""
    names = {name.lower() for name in request.headers}
    headers = {name: ", ".join(request.headers.getall(name)) for name in names}
    return RequestHead(request.method, request.path, request.query_string, headers)


def client_address(request: web.BaseRequest) -> Peer:
    """Return the address of the peer."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("", None)
