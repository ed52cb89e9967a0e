"""A source of a list that sends too slowly: the courier gives it up, whatever arrives in time."""

from __future__ import annotations

from itertools import count

from hashwacht.courier.list_downloads import PART_TIME, ListDownloads
from hashwacht.ipc.messages import MAX_PART, FailureReply, FileRole, ListPartReply, ListPartRequest
from hashwacht.matching.list_client import PART_TIMEOUT
from hashwacht.secrets import SecretSources
from hashwacht.settings import ListSourceSettings
from support.services.http_server import HttpServer, Response

BODY = bytes(2 * MAX_PART + 1)


def parts(step: float) -> list[ListPartReply | FailureReply]:
    """Return the parts of BODY by a clock that advances by *step* seconds with every look."""
    times = count(0.0, step)
    with HttpServer(lambda _: Response(body=BODY)) as server:
        source = ListSourceSettings("police", url=f"{server.url}/police.txt")
        downloads = ListDownloads(source, SecretSources(), lambda: next(times))
        try:
            return [
                downloads.fetch(ListPartRequest("police", FileRole.LIST, number))
                for number in range(3)
            ]
        finally:
            downloads.close()


def test_a_part_that_takes_too_long_ends_the_download() -> None:
    first, *others = parts(PART_TIME + 1)
    assert isinstance(first, FailureReply)
    assert "timed out" in first.problem
    assert all(isinstance(other, FailureReply) for other in others)
    assert PART_TIME < PART_TIMEOUT  # the courier ends before the client does


def test_the_time_counts_for_each_part() -> None:
    sizes = [len(part.content) for part in parts(1e-6) if isinstance(part, ListPartReply)]
    assert sizes == [MAX_PART, MAX_PART, 1]
