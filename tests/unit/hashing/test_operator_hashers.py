"""Operators' hashers may fail in any way; the fingerprint stays complete."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from demo.pictures import encode, photo
from hashwacht.core.errors import ConfigurationError
from hashwacht.core.signals import HexSignalType
from hashwacht.core.types import Fingerprint, Reason, Signal
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.in_process import FingerprintBuilder, GuardedDigest, InProcessFingerprinter
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.registry import CommandHash, DigestState

Hash = Callable[..., Fingerprint]

PICTURE = encode(photo(1, (80, 60)), "png")


class Odd(HexSignalType):
    """A picture hash that returns what a test sets."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        super().__init__("odd", 8, perceptual=True)
        object.__setattr__(self, "answer", answer)

    def signals(self, picture: Picture) -> Sequence[Signal]:  # noqa: ARG002 - answers anything
        return self.answer()  # type: ignore[attr-defined,no-any-return]  # a frozen parent


def raising(error: BaseException) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        list,
        lambda: None,
        lambda: 7,
        lambda: ["ff"],
        lambda: [Signal("md5", "ff")],
        lambda: [Signal("odd", "no hex")],
        lambda: [Signal("odd", b"ff")],  # type: ignore[arg-type]  # nonsense is the point
        lambda: [Signal("odd", "ff", 101)],
        lambda: [Signal("odd", "ff", True)],
        lambda: [Signal("odd", "ff", None, "v" * 65)],
        lambda: [Signal("odd", "ff"), None],
        raising(ValueError("no\x1b[31m")),
        raising(SystemExit(3)),
        raising(RecursionError()),
    ],
)
def test_nonsense_is_a_skip_and_never_an_exception(answer: Callable[[], Any]) -> None:
    odd, account = Odd(answer), FingerprintBuilder()
    account.run_hasher(odd, lambda: odd.signals(Picture(lambda: photo(1, (8, 8)))))
    assert account.signals == ()
    assert [skip.reason for skip in account.skipped] == [Reason.HASHER_FAILED]
    assert account.skipped[0].detail.isprintable()


def test_a_hasher_out_of_memory_is_over_its_limit() -> None:
    account = FingerprintBuilder()
    account.run_hasher(Odd(raising(MemoryError())), raising(MemoryError()))
    assert [skip.reason for skip in account.skipped] == [Reason.OVER_LIMIT]


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        FingerprintBuilder().run_hasher(Odd(list), raising(KeyboardInterrupt()))


def test_values_are_brought_into_canonical_form_and_kept_once() -> None:
    account = FingerprintBuilder()
    account.run_hasher(Odd(list), lambda: [Signal("odd", " FF "), Signal("odd", "ff")], "frame:2")
    assert account.signals == (Signal("odd", "ff", None, "frame:2"),)


def test_a_frame_and_a_variant_are_both_named() -> None:
    account = FingerprintBuilder()
    account.run_hasher(Odd(list), lambda: [Signal("odd", "ff", 3, "flop")], "frame:2")
    assert account.signals == (Signal("odd", "ff", 3, "frame:2/flop"),)


class Breaking(HexSignalType):
    """A digest that fails at the step a test sets."""

    def __init__(self, step: str) -> None:
        super().__init__("breaking", 8, perceptual=False)
        object.__setattr__(self, "step", step)

    def new(self) -> DigestState:
        step: str = self.step  # type: ignore[attr-defined]  # a frozen parent
        if step == "new":
            raise OSError("no licence")

        class Under:
            def update(self, _: bytes, /) -> None:
                if step == "update":
                    raise OSError("no licence")

            def hexdigest(self) -> str:
                if step == "hexdigest":
                    raise OSError("no licence")
                return "ff"

        return Under()


@pytest.mark.parametrize("step", ["new", "update", "hexdigest"])
def test_a_digest_that_breaks_is_a_skip_not_an_unreadable_file(step: str) -> None:
    guarded, account = GuardedDigest(Breaking(step)), FingerprintBuilder()
    guarded.update(b"one")
    guarded.update(b"two")
    account.run_hasher(guarded.digest, guarded.signals)
    assert [(skip.reason, skip.type) for skip in account.skipped] == [
        (Reason.HASHER_FAILED, "breaking")
    ]


def by_command(script: str, **limits: float) -> Plan:
    argv = (sys.executable, "-c", script)
    bounds = Limits(**limits)  # type: ignore[arg-type]  # ints are floats
    return Plan(types=("md5", "own"), limits=bounds, commands=(("own", argv),))


def test_a_command_reads_the_file_itself_and_prints_the_hash(fingerprint: Hash) -> None:
    script = "import sys, zlib; print(f'{zlib.crc32(sys.stdin.buffer.read()):08X}')"
    result = fingerprint(PICTURE, by_command(script))
    import zlib

    assert result.signals[-1] == Signal("own", f"{zlib.crc32(PICTURE):08x}")
    assert result.recipe == ("md5/1", "own/1")


@pytest.mark.parametrize(
    "script",
    [
        "raise SystemExit(1)",
        "",
        "print('two words')",
        "print('é')",
        "print('x' * 10**6)",
        "import os; os.kill(os.getpid(), 9)",
        "print('ff'); raise SystemExit(2)",
    ],
)
def test_a_command_that_prints_no_hash_is_a_skip(script: str, fingerprint: Hash) -> None:
    result = fingerprint(PICTURE, by_command(script))
    assert [signal.type for signal in result.signals] == ["md5"]
    assert [(skip.type, skip.reason) for skip in result.skipped] == [("own", Reason.HASHER_FAILED)]


@pytest.mark.alone  # measures time
def test_a_command_that_hangs_is_killed_with_its_children(fingerprint: Hash) -> None:
    script = "import subprocess; subprocess.run(['sleep', '60'])"
    started = time.monotonic()
    result = fingerprint(PICTURE, by_command(script, timeout=1))
    assert time.monotonic() - started < 20
    assert [skip.reason for skip in result.skipped] == [Reason.HASHER_FAILED]


def test_a_command_that_does_not_exist_is_a_skip(fingerprint: Hash) -> None:
    plan = Plan(types=("own",), commands=(("own", ("/no/such/program",)),))
    assert [skip.reason for skip in fingerprint(PICTURE, plan).skipped] == [Reason.HASHER_FAILED]


def test_a_command_gets_pictures_that_our_decoders_cannot_read(fingerprint: Hash) -> None:
    content = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200)
    result = fingerprint(content, by_command("print('00ff')"))
    assert result.signals[-1] == Signal("own", "00ff")


def test_a_command_is_not_bothered_with_other_kinds(fingerprint: Hash) -> None:
    result = fingerprint(b"text\n", by_command("print('00ff')"))
    assert [(skip.type, skip.reason) for skip in result.skipped] == [("own", Reason.OTHER_KIND)]


def test_a_program_sees_no_content_on_any_file_system(fingerprint: Hash) -> None:
    script = "import os; print(os.readlink('/proc/self/fd/0').replace(' ', '_'))"
    result = fingerprint(PICTURE, by_command(script))
    assert result.signals[-1].value.startswith("/memfd:")


def test_an_unknown_type_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match="unknown signal type 'nothing'"):
        InProcessFingerprinter(Plan(types=("nothing",)))


def test_a_command_cannot_pass_for_a_built_in_type() -> None:
    with pytest.raises(ConfigurationError, match="built-in signal type 'pdq'"):
        InProcessFingerprinter(Plan(types=("pdq",), commands=(("pdq", ("true",)),)))


def test_many_threads_may_fingerprint_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    hasher = InProcessFingerprinter(Plan(types=("md5", "pdq", "phash64", "dhash64")))
    contents = [encode(photo(i, (120, 90)), "jpeg") for i in range(8)]

    def of(content: bytes) -> Fingerprint:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            return hasher.fingerprint(file.fileno())

    alone = [of(content) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(of, contents * 4)) == alone * 4


def test_the_hash_of_a_command_is_a_text_like_any_other() -> None:
    assert CommandHash("own", argv=("true",), seconds=1).canonical(" AbC= ") == "AbC="
