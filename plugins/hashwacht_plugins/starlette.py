"""A dependency for FastAPI and Starlette: the endpoint gets an upload with its verdict.

::

    checker = Checker.configured()
    Picture = Annotated[ScannedUpload, Depends(ScanUpload(checker, "picture"))]

    @app.post("/pictures")
    async def pictures(picture: Picture): ...

In Starlette: ``scan = asynccontextmanager(ScanUpload(checker, "picture"))``, and in the endpoint
``async with scan(request) as picture``.

For endpoints that decide themselves.  The form was taken before, into Starlette's own temporary
file: what shall not even get that far is for :class:`hashwacht_plugins.asgi.HashwachtMiddleware`.
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
from hashwacht_plugins.asgi import client_address, parse_request
from hashwacht_plugins.awaiting import wait_any
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.findings import log_result, result_or_undetermined
from hashwacht_plugins.middleware_settings import CHUNK
from hashwacht_plugins.multipart.events import FileStart
from hashwacht_plugins.policy import Policy
from hashwacht_plugins.upload import FileCheck


@dataclass(frozen=True, slots=True)
class ScannedUpload:
    """An upload, at its beginning, and what is known of it."""

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
        """Look at *field*; after *seconds* the file is undetermined."""
        self._checker, self._field, self._policy = checker, field, Policy(timeout=timeout)
        self._facts = client_info or ClientInfo()

    async def __call__(self, request: Request) -> AsyncIterator[ScannedUpload]:
        """Yield the upload and its verdict for the lifetime of the request.

        Raises HTTPException 422 if no file was sent.
        """
        async with request.form() as form:
            yield await self._scanned(request, form.get(self._field))

    async def _scanned(self, request: Request, upload: UploadFile | str | None) -> ScannedUpload:
        if not isinstance(upload, UploadFile):
            raise HTTPException(422, f"the form has no file {self._field!r}")
        file = FileStart(self._field, upload.filename or "", upload.content_type or "")
        context = self._facts.upload_context(
            parse_request(request.scope), client_address(request.scope), file, request.scope
        )
        future = await run_in_threadpool(self._begin, upload, context)
        await wait_any([future], self._policy.timeout)
        checked = result_or_undetermined(future)
        log_result(checked)
        return ScannedUpload(upload, checked)

    def _begin(self, upload: UploadFile, context: UploadContext) -> Future[CheckResult]:
        """Copy the file: the endpoint may read or close its own as soon as the time is over."""
        with closing(FileCheck(self._checker, self._policy)) as taking:
            upload.file.seek(0)
            while chunk := upload.file.read(CHUNK):
                taking.write(chunk)
            upload.file.seek(0)
            return taking.finish(context)
