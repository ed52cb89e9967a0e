"""A question to a service that got no usable answer: why, in words that give nothing away.

No word here is the far side's or a library's own: those may quote the address asked (which
for some protocols holds the hash) or whatever a broken proxy has sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from hashwacht.core.types import Reason


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer.

    *retryable* if the same request may well be answered a moment later; *wait* is how many
    seconds the service asks us to stay away (Retry-After), None if it does not say.
    """

    detail: str
    reason: Reason = Reason.UNANSWERED
    retryable: bool = False
    wait: float | None = None
