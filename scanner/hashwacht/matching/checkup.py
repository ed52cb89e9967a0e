"""What a doctor's harmless question to a service has shown."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from hashwacht.matching.fault import Fault
from hashwacht.matching.questions import Said
from hashwacht.core.types import Finding, Reason
from hashwacht.ipc.messages import Key

SENTENCE = b"hashwacht asks a harmless question"
"""Its digests are the harmless questions: always the same, so that a service can tell them."""

_AS_LONG = {"pdq": "sha256"}

_ADVICE = {
    Reason.REFUSED: "Check the credential with `hashwacht credentials check`, and the account.",
    Reason.UNANSWERED: "Check base URL, proxy, firewall and certificates, and if it is running.",
}


def harmless(kinds: Collection[str]) -> list[Key]:
    """Give one signal that nothing has for every type of which we can make one up.

    For pdq that is a digest of its length: random bits, far from every picture's.
    """
    digests = {kind: _AS_LONG.get(kind, kind) for kind in sorted(kinds)}
    return [
        (kind, hashlib.new(digest, SENTENCE).hexdigest())
        for kind, digest in digests.items()
        if digest in {"md5", "sha1", "sha256", "sha512"}
    ]


def judge(name: str, said: Mapping[Key, Said]) -> Finding:
    """Say how it went with signals that the service cannot know."""
    if not said:
        return Finding(name, ok=True, detail="not asked: no harmless question for its signal types")
    for (kind, _), heard in said.items():
        if isinstance(heard, Fault):
            return of_fault(name, heard)
        if heard:
            return Finding(
                name,
                ok=False,
                detail=f"claims to know a {kind} that nobody has",
                advice="Do not act on its matches before its operator has explained this.",
            )
    kinds = ", ".join(kind for kind, _ in said)
    return Finding(name, ok=True, detail=f"answers for {kinds}")


def of_fault(name: str, fault: Fault) -> Finding:
    """Say what is wrong and what to do about it."""
    return Finding(name, ok=False, detail=fault.detail, advice=_ADVICE[fault.reason])
