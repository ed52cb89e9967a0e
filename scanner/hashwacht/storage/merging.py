"""What two fingerprints of the same bytes say together."""

from __future__ import annotations

from dataclasses import replace

from hashwacht.core.types import Fingerprint


def merged(former: Fingerprint, fresh: Fingerprint) -> Fingerprint:
    """Bring a stored fingerprint up to date with a fresh one of the same content.

    What the fresh recipe covers is replaced, what it does not cover is kept.  One exception:
    if a signal type failed wholly this time (a limit, a dead worker) and the same version of
    it succeeded before, those signals are kept, for the bytes are the same.
    """
    kept = _kept_types(former, fresh)
    return replace(
        fresh,
        recipe=tuple(
            dict.fromkeys(
                (*fresh.recipe, *(entry for entry in former.recipe if _type(entry) in kept))
            )
        ),
        signals=(
            *(signal for signal in fresh.signals if signal.type not in kept),
            *(signal for signal in former.signals if signal.type in kept),
        ),
        skipped=(
            *(skip for skip in fresh.skipped if skip.type not in kept),
            *(skip for skip in former.skipped if skip.type in kept),
        ),
    )


def askable_types(fingerprint: Fingerprint) -> tuple[str, ...]:
    """Return the types of which this fingerprint has a signal to ask, in order."""
    return tuple(sorted({signal.type for signal in fingerprint.signals if signal.askable}))


def _kept_types(former: Fingerprint, fresh: Fingerprint) -> frozenset[str]:
    """Name the signal types for which the former fingerprint stays the better source."""
    covered = {_type(entry) for entry in fresh.recipe}
    failed = {skip.type for skip in fresh.skipped if skip.reason.undetermined}
    failed -= {signal.type for signal in fresh.signals}
    hashed = {signal.type for signal in former.signals}
    same_version = {_type(entry) for entry in set(former.recipe) & set(fresh.recipe)}
    uncovered = {_type(entry) for entry in former.recipe} - covered
    return frozenset(uncovered | (failed & hashed & same_version))


def _type(entry: str) -> str:
    """Take the signal type of a recipe's entry: ``pdq`` of ``pdq/1``."""
    return entry.partition("/")[0]
