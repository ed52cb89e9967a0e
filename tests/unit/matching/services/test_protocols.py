"""The possible answers of the three services, valid or not: bodies only, no network."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import Answer, Diagnostic, Match, Outcome, Reason, Signal
from hashwacht.ipc.messages import SignalKey
from hashwacht.matching.lookup import ServiceFault
from hashwacht.matching.services.arachnid import ArachnidProtocol
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.hma import HmaProtocol
from hashwacht.matching.services.service_matchers import build_protocol
from hashwacht.settings import EokmSettings
from support.services.canned import CannedMatcher

MD5 = Signal("md5", "0" * 31 + "1")
PDQ = Signal("pdq", "a5" * 32, 90)
PDQ64 = base64.b64encode(bytes.fromhex(PDQ.value)).decode()
SHA256 = "ab" * 32


def eokm(body: bytes) -> Answer:
    return CannedMatcher("eokm", EokmProtocol(), body).lookup([(MD5,)])[0]


def hma(content: object, **options: Any) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return CannedMatcher("hma", HmaProtocol(**options), body).lookup([(PDQ,)])[0]


def shield(entry: object) -> Answer:
    body = json.dumps({"scanned_hashes": {PDQ64: entry}}).encode()
    return CannedMatcher("shield", ArachnidProtocol(), body).lookup([(PDQ,)])[0]


@pytest.mark.parametrize("body", [b"true", b" true\r\n", b"\ttrue"])
def test_eokm_true_is_a_match(body: bytes) -> None:
    assert eokm(body).matches == (Match("eokm", MD5, 0, "csam"),)


@given(st.binary(max_size=12))
def test_eokm_anything_but_the_two_words_is_undetermined(body: bytes) -> None:
    expected = {b"true": Outcome.MATCH, b"false": Outcome.NO_MATCH}
    assert eokm(body).outcome is expected.get(body.strip(b" \t\r\n"), Outcome.UNDETERMINED)


def test_eokm_formats_and_path_can_be_configured() -> None:
    protocol = EokmProtocol({"md5": "MD5", "pdq": "pdqhash"}, "/v2/{format}/x")
    matcher = CannedMatcher("eokm", protocol, b"false")
    assert matcher.lookup([(MD5, PDQ)])[0].outcome is Outcome.NO_MATCH
    assert [request.path for request in matcher.requests] == ["/v2/MD5/x", "/v2/pdqhash/x"]


def test_eokm_the_test_list_has_a_path_and_revision_of_its_own() -> None:
    real = build_protocol(EokmSettings("eokm"))
    test = build_protocol(EokmSettings("eokm", use_test_list=True))
    key = ("md5", MD5.value)
    assert [protocol.request([key]).path for protocol in (real, test)] == [
        "/v1/check/md5",
        "/v1/test/check/md5",
    ]
    assert real.revision("https://x") != test.revision("https://x")


@pytest.mark.parametrize("path", ["", "v1/{format}", ".evil.example/{format}", "/v1", "/{a}{b}"])
def test_eokm_a_path_that_is_not_a_template_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        EokmProtocol(path=path)
    assert "{format}" in raised.value.advice


@pytest.mark.parametrize("signal", [("md5", MD5.value), ("pdq", "A5" * 32), ("pdq", "")])
def test_hma_a_known_signal_that_cannot_be_asked_is_refused(signal: SignalKey) -> None:
    with pytest.raises(ConfigurationError) as raised:
        HmaProtocol(known_signal=signal)
    assert raised.value.advice


def test_hma_match_has_bank_content_distance_and_category() -> None:
    answers = {
        "TERROR": [{"bank_content_id": 9, "distance": "31"}],
        "CSAM": [{"bank_content_id": 7, "distance": "0"}, {"bank_content_id": 8, "distance": "-"}],
    }
    assert hma(answers, categories={"TERROR": "terror"}).matches == (
        Match("hma", PDQ, 31, "terror", "TERROR", "9"),
        Match("hma", PDQ, 0, "csam", "CSAM", "7"),
        Match("hma", PDQ, None, "csam", "CSAM", "8"),
    )


def test_hma_a_bank_that_is_not_named_is_not_harmless() -> None:
    answers = {"NEW": [{"bank_content_id": 1, "distance": "4"}]}
    assert hma(answers, categories={"OTHER": "spam"}).matches[0].category == "csam"
    assert hma(answers, category="unsorted").matches[0].category == "unsorted"


def test_hma_banks_are_asked_for_by_name() -> None:
    request = HmaProtocol(banks={"B&C", "A"}).request([("pdq", PDQ.value)])
    assert request.path.endswith("&signal_type=pdq&banks=A%2CB%26C")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff",
        b"[" * 100_000,
        {"B": None},
        {"B": ""},
        {"B": {}},
        {"B": [1]},
        {"B": [{}]},
        {"B": [{"distance": "1"}]},
        {"B": [{"bank_content_id": "x", "distance": "1"}]},
        {"message": "index not yet ready"},
        {"B": [{"bank_content_id": 1, "distance": "1"}], "C": 5},
        {"B": [{"bank_content_id": 1, "distance": 1}]},
        {"B": [{"bank_content_id": 1, "distance": None}]},
        {"B": [{"bank_content_id": 1, "distance": str(10**29)}]},
        {"B": [{"bank_content_id": 10**29, "distance": "1"}]},
        {"B": [{"bank_content_id": -1, "distance": "1"}]},
        {"B": [{"bank_content_id": True, "distance": "1"}]},
        {"B": [{"bank_content_id": 1.5, "distance": "1"}]},
        {"B": [{"bank_content_id": float("inf"), "distance": "1"}]},
        {"B": [{"bank_content_id": float("nan"), "distance": "1"}]},
        b'{"B": [{"bank_content_id": 1e999, "distance": "1"}]}',
        b'{"B": [{"bank_content_id": 1, "distance": "1"}], "B": []}',
        b'{"B": [{"bank_content_id": 1, "distance": "1", "distance": "0"}]}',
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"B": [], "later": 1e999}',
    ],
)
def test_hma_an_answer_of_another_shape_is_undetermined(said: object) -> None:
    answer = hma(said)
    assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)


def test_hma_check_fails_if_the_known_signal_does_not_match() -> None:
    def check(body: bytes | ServiceFault) -> Diagnostic:
        protocol = HmaProtocol(known_signal=("pdq", PDQ.value))
        return CannedMatcher("hma", protocol, body).check()

    unknown = check(b"{}")
    assert not unknown.ok
    assert "known_signal" in unknown.detail
    assert unknown.advice
    assert check(b'{"B": [{"bank_content_id": 1, "distance": "0"}]}').ok
    assert "credential" in check(ServiceFault("no", Reason.REFUSED)).advice


@pytest.mark.parametrize("classification", ["csam", "harmful-abusive-material", "test"])
def test_arachnid_keeps_its_classifications_apart(classification: str) -> None:
    near = {"sha256_hex": SHA256, "classification": classification}
    answer = shield(
        {
            "classification": classification,
            "match_type": "near",
            "near_match_details": [near],
        }
    )
    assert answer.matches == (Match("shield", PDQ, None, classification, "", SHA256),)


def test_arachnid_an_exact_match_has_distance_zero() -> None:
    answer = shield({"classification": "csam", "match_type": "exact", "near_match_details": None})
    assert answer.matches == (Match("shield", PDQ, 0, "csam"),)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"classification": "no-known-match", "match_type": None},
        {"classification": None},
        {"classification": None, "match_type": None, "near_match_details": None},
    ],
)
def test_arachnid_null_and_no_known_match_are_no_match(entry: object) -> None:
    assert shield(entry).outcome is Outcome.NO_MATCH


@pytest.mark.parametrize(
    "entry",
    [
        {"classification": "new-word"},
        {"classification": "CSAM"},
        {"classification": ""},
        {"classification": None, "match_type": "near"},
        {"classification": None, "match_type": None, "near_match_details": [{"timestamp": 0.0}]},
        {"classification": "no-known-match", "match_type": "near"},
        {"classification": "csam", "match_type": 1},
        {"classification": ["csam"]},
        {"classification": 5},
        {"classification": {"csam": 1}},
        {},
        [],
        "csam",
        0,
        False,
    ],
)
def test_arachnid_what_is_not_understood_is_undetermined(entry: object) -> None:
    answer = shield(entry)
    assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)


def test_arachnid_names_a_new_word_but_repeats_nothing_else() -> None:
    assert "new-word" in shield({"classification": "new-word"}).detail
    assert "<script>" not in shield({"classification": "<script>"}).detail


def test_arachnid_a_hash_that_is_not_mentioned_was_not_answered() -> None:
    value = base64.b64encode(b"x" * 32).decode()
    body = json.dumps({"scanned_hashes": {value: None}}).encode()
    answer = CannedMatcher("shield", ArachnidProtocol(), body).lookup([(PDQ,)])[0]
    assert answer.outcome is Outcome.UNDETERMINED


def test_arachnid_asks_in_batches_and_every_hash_once() -> None:
    matcher = CannedMatcher("shield", ArachnidProtocol(30), b'{"scanned_hashes": {}}')
    signals = [(Signal("pdq", f"{n:064x}"),) for n in range(70)]
    matcher.lookup([*signals, *signals])
    sizes = [len(json.loads(request.body)["hashes"]) for request in matcher.requests]
    assert sizes == [30, 30, 10]


def test_a_match_for_a_made_up_signal_fails_the_check() -> None:
    diagnostic = CannedMatcher("eokm", EokmProtocol(), b"true").check()
    assert not diagnostic.ok
    assert "made-up" in diagnostic.detail
