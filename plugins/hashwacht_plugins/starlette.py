"""A dependency for FastAPI and Starlette: an upload together with its result.

::

    checker = Checker.configured()
    Picture = Annotated[ScannedUpload, Depends(ScanUpload(checker, "picture"))]

    @app.post("/pictures")
    async def pictures(picture: Picture): ...

In Starlette: ``scan = asynccontextmanager(ScanUpload(checker, "picture"))``, and in the endpoint
``async with scan(request) as picture``.

For endpoints that decide what to do with a match. Starlette has stored the upload in a temporary
file by then; :class:`hashwacht_plugins.asgi.HashwachtMiddleware` stops it earlier.
"""

# No deferred annotations here: older FastAPIs cannot resolve those of a callable object.
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hashwacht import Checker, CheckResult, UploadContext
from hashwacht.multipart.events import FileStart
from hashwacht_plugins.asgi import client_address, parse_request
from hashwacht_plugins.awaiting import wait_any
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.file_check import FileCheck, log_result, result_or_undetermined
from hashwacht_plugins.middleware_settings import CHUNK
from hashwacht_plugins.policy import Policy


@dataclass(frozen=True, slots=True)
class ScannedUpload:
    """An upload, positioned at its beginning, and its result."""

    upload: UploadFile
    result: CheckResult


class ScanUpload:
    """A dependency that yields the file in one field of a form.  Thread-safe."""

    def __init__(
        self,
        checker: Checker,
        field: str = "file",
        *,
        timeout: float = 10.0,
        client_info: ClientInfo | None = None,
    ) -> None:
        """Check the file in *field*; it is undetermined after *timeout* seconds."""
        self._checker, self._field, self._policy = checker, field, Policy(timeout=timeout)
        self._client_info = client_info or ClientInfo()

    async def __call__(self, request: Request) -> AsyncIterator[ScannedUpload]:
        """Yield the upload with its result for the duration of the request.

        Raises HTTPException 422 if the form has no file.
        """
        async with request.form() as form:
            yield await self._scanned(request, form.get(self._field))

    async def _scanned(self, request: Request, upload: UploadFile | str | None) -> ScannedUpload:
        if not isinstance(upload, UploadFile):
            raise HTTPException(422, f"the form has no file {self._field!r}")
        file = FileStart(self._field, upload.filename or "", upload.content_type or "")
        context = self._client_info.upload_context(
            parse_request(request.scope), client_address(request.scope), file, request.scope
        )
        future = await run_in_threadpool(self._start, upload, context)
        await wait_any([future], self._policy.timeout)
        result = result_or_undetermined(future)
        log_result(result)
        return ScannedUpload(upload, result)

    def _start(self, upload: UploadFile, context: UploadContext) -> Future[CheckResult]:
        """Check a copy: the endpoint may read or close its own file after the timeout."""
        with closing(FileCheck(self._checker, self._policy)) as check:
            upload.file.seek(0)
            while chunk := upload.file.read(CHUNK):
                check.write(chunk)
            upload.file.seek(0)
            return check.finish(context)
