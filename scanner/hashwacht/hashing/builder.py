"""What came out for one content: signals that hold what they promise, and skips for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hashwacht.core.errors import SignalError
from hashwacht.core.ports import SignalType
from hashwacht.core.text import replace_unprintable
from hashwacht.core.types import Reason, Signal, Skip
from hashwacht.hashing.registry import Digest, DigestState, Hasher

_LONGEST_VARIANT = 64
_LONGEST_DETAIL = 200
_PER_CENT = range(101)


class FingerprintBuilder:
    """Collects for one content.  Trusts no hasher: each may raise, or give anything at all."""

    def __init__(self) -> None:
        self._signals: dict[tuple[str, str], Signal] = {}
        self._skips: dict[tuple[str, Reason], Skip] = {}

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Each value of a type once, under the first variant that had it."""
        return tuple(self._signals.values())

    @property
    def skipped(self) -> tuple[Skip, ...]:
        """Each reason of a type once."""
        return tuple(self._skips.values())

    def run_hasher(
        self, hasher: Hasher, hashing: Callable[[], Sequence[Signal]], frame: str = ""
    ) -> None:
        """Run *hashing* and keep its signals if every one is right, else skip the type."""
        try:
            given = _all_checked(hasher, hashing(), frame)
        except MemoryError:
            self.skip(hasher, Reason.OVER_LIMIT, "more memory than a worker may use")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an operator's code raises anything
            self.skip(hasher, Reason.HASHER_FAILED, f"{type(error).__name__}: {error}")
        else:
            for each in given:
                self._signals.setdefault((each.type, each.value), each)

    def skip(self, hasher: SignalType, reason: Reason, detail: str = "") -> None:
        """Record why a type is missing or incomplete; a detail may quote hostile bytes."""
        text = replace_unprintable(detail[:_LONGEST_DETAIL]).strip()
        self._skips.setdefault((hasher.name, reason), Skip(hasher.name, reason, text))

    def skip_all(self, hashers: Iterable[SignalType], reason: Reason, detail: str = "") -> None:
        """Record the same for several types."""
        for each in hashers:
            self.skip(each, reason, detail)


class GuardedDigest:
    """A digest under way that raises only when it is asked for its value."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest
        self._error: BaseException | None = None
        self._running: DigestState | None = None
        try:
            self._running = digest.new()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an operator's code raises anything
            self._error = error

    def update(self, chunk: bytes, /) -> None:
        """Pass the bytes on, unless an earlier call failed."""
        if self._running is None or self._error is not None:
            return
        try:
            self._running.update(chunk)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an operator's code raises anything
            self._error = error

    def signals(self) -> list[Signal]:
        """Finish.  Raises what the digest raised in between."""
        if self._error is not None:
            raise self._error
        assert self._running is not None
        return [Signal(self.digest.name, self._running.hexdigest())]


def _all_checked(hasher: Hasher, given: Sequence[object], frame: str) -> list[Signal]:
    """Check every signal.  Raises SignalError if there is none, or one is wrong."""
    checked = [_checked(hasher, each, frame) for each in given]
    if not checked:
        raise SignalError("gave no signal")
    return checked


def _checked(hasher: Hasher, given: object, frame: str) -> Signal:
    """Bring a signal into canonical form.  Raises SignalError if it is not what it should be."""
    if not isinstance(given, Signal) or given.type != hasher.name:
        raise SignalError(f"gave no signal of its type but {given!r}")
    quality: object = given.quality
    variant: object = given.variant
    if quality is not None and not (type(quality) is int and quality in _PER_CENT):
        raise SignalError(f"gave {quality!r} for a quality of 0 to 100")
    if not isinstance(variant, str) or len(variant) > _LONGEST_VARIANT:
        raise SignalError(f"gave {variant!r} for the name of a variant")
    value: object = hasher.canonical(given.value)
    if not isinstance(value, str):
        raise SignalError(f"has {value!r} for a canonical form")
    return Signal(hasher.name, value, given.quality, "/".join(filter(None, (frame, variant))))
