"""Hypothesis strategies for the core types: any value that a foreign file or service can cause."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Answer, FileId, Fingerprint, Match, Outcome, Reason, Signal, Skip

MATCHERS = ("eokm", "hashlist", "hma")

_UNSIGNED = st.integers(0, 2**64 - 1)
_NANOSECONDS = st.integers(-(2**70), 2**70)  # beyond 64 bits, which hold the years 1678 to 2262
_TEXTS = st.text(st.characters(codec=None), max_size=20)  # includes lone surrogates and NUL

names: SearchStrategy[bytes] = (
    st.binary(min_size=1, max_size=255)
    .map(lambda name: name.replace(b"/", b"%").replace(b"\0", b"%"))
    .filter(lambda name: name not in (b".", b".."))
)
"""File names as Linux allows them: any bytes but slash and NUL."""

file_ids: SearchStrategy[FileId] = st.builds(
    FileId, _UNSIGNED, _UNSIGNED, st.integers(0, 2**63 - 1), _NANOSECONDS, _NANOSECONDS
)
"""What stat may say, the 64th bit and far years included."""


def _values(name: str) -> SearchStrategy[str]:
    length = BUILT_IN[name].bits // 8
    return st.binary(min_size=length, max_size=length).map(bytes.hex)


@st.composite
def signals(draw: st.DrawFn, name: str) -> Signal:
    """Build one signal of a built-in type, or of an operator's own type with any text."""
    value = draw(_values(name) if name in BUILT_IN else _TEXTS)
    perceptual = name in BUILT_IN and BUILT_IN[name].perceptual
    quality = draw(st.none() | st.integers(0, 100)) if perceptual else None
    return Signal(name, value, quality, draw(st.sampled_from(("", "frame:12", "rotate90"))))


@st.composite
def fingerprints(draw: st.DrawFn, keys: SearchStrategy[str] | None = None) -> Fingerprint:
    """Build a fingerprint in which every type of the recipe was either hashed or skipped."""
    key = draw(_values("sha256") if keys is None else keys)
    types = draw(st.lists(st.sampled_from((*BUILT_IN, "photo_x")), unique=True))
    hashed: list[Signal] = []
    skipped: list[Skip] = []
    for name in types:
        if draw(st.booleans()):
            hashed += draw(st.lists(signals(name), min_size=1, max_size=3))
        else:
            skipped.append(Skip(name, draw(st.sampled_from(Reason)), draw(_TEXTS)))
    recipe = tuple(f"{name}/{draw(st.integers(1, 2))}" for name in types)
    size, damaged = draw(st.integers(0, 2**63 - 1)), draw(st.booleans())
    kind = draw(st.sampled_from(("image/jpeg", "text/plain", "application/octet-stream")))
    return Fingerprint(key, size, kind, recipe, tuple(hashed), tuple(skipped), damaged)


@st.composite
def matches(draw: st.DrawFn, matcher: str) -> Match:
    """Build a match of one matcher."""
    return Match(
        matcher,
        draw(st.sampled_from((*BUILT_IN, "photo_x")).flatmap(signals)),
        draw(st.none() | st.integers(0, 256)),
        draw(st.sampled_from(("csam", "harmful", ""))),
        draw(st.sampled_from(("", "national", "\ud800"))),
        draw(_TEXTS),
        draw(st.booleans()),
    )


@st.composite
def answers(draw: st.DrawFn, matcher: str | None = None) -> Answer:
    """Build an answer: a MATCH has matches, an UNDETERMINED has a reason."""
    name = matcher or draw(st.sampled_from(MATCHERS))
    outcome = draw(st.sampled_from(Outcome))
    asked_at = draw(st.floats(0, 1e10))
    revision = draw(st.sampled_from(("", "1", "2")))
    if outcome is Outcome.MATCH:
        matches_found = draw(st.lists(matches(name), min_size=1, max_size=3))
        return Answer(name, outcome, asked_at, revision, tuple(matches_found))
    if outcome is Outcome.NO_MATCH:
        return Answer(name, outcome, asked_at, revision)
    reason = draw(st.sampled_from((Reason.UNANSWERED, Reason.REFUSED)))
    return Answer(name, outcome, asked_at, revision, (), reason, draw(_TEXTS))
