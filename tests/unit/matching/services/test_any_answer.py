"""Whatever a service sends, the answer is one that can be stored, passed on and shown."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hashwacht.core.text import is_printable_line
from hashwacht.core.types import Answer, Fingerprint, Outcome, Reason, Signal
from hashwacht.ipc.messages import (
    ServiceHit,
    SignalKey,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
    decode_reply,
    encode_reply,
)
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault
from hashwacht.matching.services.arachnid import ArachnidProtocol
from hashwacht.matching.services.base import ServiceConfig, ServiceProtocol
from hashwacht.matching.services.client import ServiceMatcher
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.hma import HmaProtocol
from hashwacht.storage.answers import StoredAnswers
from hashwacht.storage.contents import Contents
from hashwacht.storage.sqlite.database import Database
from support.services.canned import CannedMatcher
from support.services.http_server import HttpServer, Response

PDQ = Signal("pdq", "a5" * 32, 90)
PDQ64 = base64.b64encode(bytes.fromhex(PDQ.value)).decode()
PROTOCOLS: Sequence[ServiceProtocol] = (
    EokmProtocol({"pdq": "pdq"}),
    HmaProtocol(),
    ArachnidProtocol(),
)

GENUINE: Sequence[object] = (
    True,
    {"BANK": [{"bank_content_id": 1, "distance": "4"}], "OTHER": []},
    {
        "scanned_hashes": {
            PDQ64: {
                "classification": "csam",
                "match_type": "near",
                "near_match_details": [{"timestamp": 0.0, "sha256_hex": "ab" * 32}],
            }
        }
    },
)
"""An answer of each service; false answers differ in one part."""

WRONG_VALUES: st.SearchStrategy[object] = (
    st.sampled_from(
        [
            *(None, True, False, 0, -1, 1.5, "", "4", [], {}),
            *("\ud800", "\x00", "\x1b[2J", "\u202e", "\u0661", "csam", "near", "no-known-match"),
            *(float("inf"), float("-inf"), float("nan"), 10**29, -(10**29), 2**63, 2**53),
            *("9" * 4000, "A" * 60_000, [None] * 300),
        ]
    )
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
)


@st.composite
def wrong_answers(draw: st.DrawFn) -> bytes:
    """Return a genuine answer as JSON in which some values or names are replaced."""
    body: object = draw(st.sampled_from(GENUINE))
    for _ in range(draw(st.integers(1, 3))):
        body = _replaced(draw, body)
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    text = draw(
        st.sampled_from([text, text.replace("Infinity", "1e999"), f" {text}\n", text + text])
    )
    return text.encode("utf-8", "surrogatepass")


def _replaced(draw: st.DrawFn, value: object) -> object:
    """Return *value* with one part below it, or all of it, replaced."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(value)))
        changed = _replaced(draw, value[name])
        as_name = draw(st.sampled_from([name, name, name, "\ud800", "\x1b]0;x\x07", "B" * 300]))
        return {key: part for key, part in value.items() if key != name} | {as_name: changed}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        return [_replaced(draw, value[0]), *value[1:]]
    return draw(WRONG_VALUES)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with closing(Database.open(tmp_path_factory.mktemp("state") / "state.db")) as opened:
        yield opened


def assert_usable(answer: Answer, database: Database) -> None:
    """Check that *answer* survives the storage and the courier, and can be shown."""
    fingerprint = Fingerprint(secrets.token_hex(32), 1, "image/png", ("pdq/1",), (PDQ,))
    [stored] = Contents(database).record([fingerprint], answer.asked_at).values()
    StoredAnswers(database).record([(stored.id, answer)])
    assert answer in Contents(database).load([stored.id])[stored.id].answers
    assert (answer.reason is None) == (answer.outcome is not Outcome.UNDETERMINED)
    assert (answer.outcome is Outcome.MATCH) == bool(answer.matches)
    assert is_printable_line(answer.detail)
    hits = tuple(ServiceHit(m.category, m.distance, m.list, m.id) for m in answer.matches)
    reply = SignalLookupReply("0" * 64, (SignalReply(hits, answer.reason, answer.detail),))
    request = SignalLookupRequest("service", ((PDQ.type, PDQ.value),))
    assert decode_reply(encode_reply(reply), request) == reply
    for match in answer.matches:
        assert match.signal == PDQ
        assert is_printable_line(match.list, 128)
        assert is_printable_line(match.id, 128)
        assert match.distance is None or 0 <= match.distance < 1 << 16


@given(wrong_answers() | st.binary(max_size=40))
@example(b'{"B": [{"bank_content_id": 1e999, "distance": "4"}]}')
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@settings(max_examples=200, deadline=None)
def test_any_answer_is_stored_passed_on_and_shown(database: Database, body: bytes) -> None:
    for protocol in PROTOCOLS:
        [answer] = CannedMatcher("service", protocol, body).lookup([(PDQ,)])
        assert_usable(answer, database)


@pytest.mark.parametrize("number", range(3))
def test_the_genuine_answers_are_matches(database: Database, number: int) -> None:
    body = json.dumps(GENUINE[number]).encode()
    [answer] = CannedMatcher("service", PROTOCOLS[number], body).lookup([(PDQ,)])
    assert answer.outcome is Outcome.MATCH
    assert_usable(answer, database)


class _DefectiveProtocol(EokmProtocol):
    """A protocol with a defect that some answers meet."""

    def parse(
        self, body: bytes, signals: Sequence[SignalKey]
    ) -> Sequence[ServiceAnswer] | ServiceFault:
        raise OverflowError(body, signals)


def test_a_defect_of_a_protocol_is_undetermined_for_its_batch() -> None:
    with (
        HttpServer(lambda _: Response(200, b"true")) as server,
        closing(
            ServiceMatcher("service", ServiceConfig(server.url), _DefectiveProtocol())
        ) as matcher,
    ):
        answers = matcher.lookup([(Signal("md5", f"{n:032x}"),) for n in range(20)])
    assert {answer.reason for answer in answers} == {Reason.UNANSWERED}
    assert "OverflowError" in answers[0].detail
    assert "0000" not in answers[0].detail, "the detail must not quote a hash"
