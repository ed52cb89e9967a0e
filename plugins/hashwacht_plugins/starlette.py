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

from hashwacht import Checked, Checker, Circumstances
from hashwacht_plugins.asgi import peer_of, request_of
from hashwacht_plugins.awaiting import any_done
from hashwacht_plugins.context import Facts
from hashwacht_plugins.findings import result_of, tell
from hashwacht_plugins.middleware_settings import CHUNK
from hashwacht_plugins.multipart.events import FileBegins
from hashwacht_plugins.policy import Policy
from hashwacht_plugins.upload import Taking


@dataclass(frozen=True, slots=True)
class ScannedUpload:
    """An upload, at its beginning, and what is known of it."""

    upload: UploadFile
    checked: Checked


class ScanUpload:
    """A dependency that yields the file in one field of a form.  Thread-safe."""

    def __init__(
        self,
        checker: Checker,
        field: str = "file",
        *,
        seconds: float = 10.0,
        facts: Facts | None = None,
    ) -> None:
        """Look at *field*; after *seconds* the file is undetermined."""
        self._checker, self._field, self._policy = checker, field, Policy(seconds=seconds)
        self._facts = facts or Facts()

    async def __call__(self, request: Request) -> AsyncIterator[ScannedUpload]:
        """Give the upload and its verdict, for as long as the request lasts.

        Raises HTTPException 422 if no file was sent.
        """
        async with request.form() as form:
            yield await self._scanned(request, form.get(self._field))

    async def _scanned(self, request: Request, upload: UploadFile | str | None) -> ScannedUpload:
        if not isinstance(upload, UploadFile):
            raise HTTPException(422, f"the form has no file {self._field!r}")
        file = FileBegins(self._field, upload.filename or "", upload.content_type or "")
        told = self._facts.circumstances(
            request_of(request.scope), peer_of(request.scope), file, request.scope
        )
        future = await run_in_threadpool(self._begin, upload, told)
        await any_done([future], self._policy.seconds)
        checked = result_of(future)
        tell(checked)
        return ScannedUpload(upload, checked)

    def _begin(self, upload: UploadFile, told: Circumstances) -> Future[Checked]:
        """Copy the file: the endpoint may read or close its own as soon as the time is over."""
        with closing(Taking(self._checker, self._policy)) as taking:
            upload.file.seek(0)
            while chunk := upload.file.read(CHUNK):
                taking.write(chunk)
            upload.file.seek(0)
            return taking.finish(told)
