from __future__ import annotations

import re

import pytest

from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.gateway.checks import Answer, PathAnswer
from hashwacht.gateway.clamd.counters import MAX_PEERS, ClamdCounters, is_cut
from hashwacht.gateway.clamd.replies import ReplyWriter, refused_name, version_text
from hashwacht.settings.gateway import UndeterminedReply
from hashwacht.uploads.backend import CheckResult

MATCHED = Match("police", Signal("sha256", "0" * 64), 0, "csam")
VERDICTS = {
    Outcome.MATCH: Verdict(Outcome.MATCH, (MATCHED,)),
    Outcome.NO_MATCH: Verdict(Outcome.NO_MATCH),
    Outcome.UNDETERMINED: Verdict(Outcome.UNDETERMINED, reason=Reason.DAMAGED),
}
WRITER = ReplyWriter(UndeterminedReply.ERROR)


def answer(outcome: Outcome) -> Answer:
    """Return an answer with this outcome."""
    return Answer(CheckResult(VERDICTS[outcome]), "7f3a91c2")


def test_a_name_is_what_every_client_parses() -> None:
    name = refused_name("7f3a91c2")
    assert re.fullmatch(rb"[A-Za-z0-9._-]{1,60}", name)
    assert not re.search(rb"OK|FOUND|ERROR|^Heuristics|^PUA|^Encrypted|UNOFFICIAL$", name)


@pytest.mark.parametrize("subject", [b"stream", b"fd[7]", b"/srv/a: b"])
def test_a_match_and_no_match(subject: bytes) -> None:
    found = subject + b": Hashwacht.Refused.7f3a91c2 FOUND"
    assert WRITER.text(subject, answer(Outcome.MATCH)) == found
    assert WRITER.text(subject, answer(Outcome.NO_MATCH)) == subject + b": OK"


@pytest.mark.parametrize("missing", [True, False])
def test_an_undetermined_stream_has_no_subject(missing: bool) -> None:
    result = None if missing else answer(Outcome.UNDETERMINED)
    assert WRITER.text(b"stream", result) == b"Not determined. ERROR"
    assert WRITER.text(b"fd[7]", result) == b"fd[7]: Not determined. ERROR"
    assert WRITER.text(b"/a", result) == b"/a: Not determined. ERROR"


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (UndeterminedReply.OK, b"stream: OK"),
        (UndeterminedReply.FOUND, b"stream: Hashwacht.Undetermined.7f3a91c2 FOUND"),
    ],
)
def test_the_policy_for_undetermined_contents(policy: UndeterminedReply, text: bytes) -> None:
    writer = ReplyWriter(policy)
    assert writer.text(b"stream", answer(Outcome.UNDETERMINED)) == text
    assert writer.text(b"stream", answer(Outcome.MATCH)).endswith(b"Refused.7f3a91c2 FOUND")


def test_a_directory_is_only_ok_if_all_files_are() -> None:
    free, hit = answer(Outcome.NO_MATCH), answer(Outcome.MATCH)
    assert WRITER.path_texts(b"/a", [PathAnswer(b"/a/1", free)]) == [b"/a: OK"]
    assert WRITER.path_texts(b"/a", []) == [b"/a: OK"]
    mixed = [
        PathAnswer(b"/a/1", free),
        PathAnswer(b"/a/2", hit),
        PathAnswer(b"/a/3", None, "Access denied."),
        PathAnswer(b"/a/4", answer(Outcome.UNDETERMINED)),
    ]
    assert WRITER.path_texts(b"/a", mixed) == [
        b"/a/2: Hashwacht.Refused.7f3a91c2 FOUND",
        b"/a/3: Access denied. ERROR",
        b"/a/4: Not determined. ERROR",
    ]


def test_the_version_has_three_parts_and_a_number() -> None:
    text = version_text(412, 0.0)
    assert re.fullmatch(rb"ClamAV \d+\.\d+\.\d+/412/\w{3} \w{3} .\d [\d:]{8} \d{4}", text)
    assert text.count(b"/") == 2


@pytest.mark.parametrize(
    ("size", "last_chunk", "cut"),
    [
        (26_214_400, 8192, True),
        (26_214_400 - 8191, 8192, True),
        (26_214_400 - 8192, 8192, False),
        (104_857_600, 8188, True),
        (10_485_760, 1024, True),
        (10_485_761, 1024, False),
        (1000, 1000, False),
        (30_000_000, 30_000_000, False),
    ],
)
def test_lengths_at_the_limits_of_clients_look_cut(size: int, last_chunk: int, cut: bool) -> None:
    assert is_cut(size, last_chunk) is cut


def test_cut_streams_are_counted_for_a_bounded_number_of_peers() -> None:
    counters = ClamdCounters()
    assert counters.count_stream("user 33", 26_214_400, 8192)
    assert not counters.count_stream("user 33", 26_214_400, 8192)
    assert not counters.count_stream("user 33", 5, 5)
    assert counters.cut_streams == {"user 33": 2}
    for number in range(MAX_PEERS):
        counters.count_stream(f"192.0.2.{number}", 26_214_400, 8192)
    assert len(counters.cut_streams) == MAX_PEERS
    assert "user 33" not in counters.cut_streams
