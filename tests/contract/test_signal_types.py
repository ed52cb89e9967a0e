"""The contract suite on every signal type that ships with Hashwacht."""

from __future__ import annotations

import hashlib
import sys

import pytest

from hashwacht.core.signals import BUILT_IN
from hashwacht.hashing.registry import BUILT_IN_HASHERS, CommandHash, Digest, PictureHash
from hashwacht.testing.signal_type_contract import SignalTypeContract

HEX_JUNK = (*SignalTypeContract.junk, "0123", "0" * 1000, "x" * 64, "0x" + "0" * 30)


class TestMd5(SignalTypeContract):
    signal_type = BUILT_IN_HASHERS["md5"]
    junk = HEX_JUNK


class TestSha1(SignalTypeContract):
    signal_type = BUILT_IN_HASHERS["sha1"]
    junk = HEX_JUNK


class TestSha256(SignalTypeContract):
    signal_type = BUILT_IN_HASHERS["sha256"]
    junk = HEX_JUNK


class TestPdq(SignalTypeContract):
    signal_type = BUILT_IN_HASHERS["pdq"]
    junk = HEX_JUNK


class TestPhash64(SignalTypeContract):
    signal_type = BUILT_IN_HASHERS["phash64"]
    junk = HEX_JUNK


class TestDhash64(SignalTypeContract):
    signal_type = BUILT_IN_HASHERS["dhash64"]
    junk = HEX_JUNK


class TestCommand(SignalTypeContract):
    """An operator's program that prints the SHA-512 of its input."""

    program = "import hashlib, sys; print(hashlib.sha512(sys.stdin.buffer.read()).hexdigest())"
    signal_type = CommandHash("licensed", argv=(sys.executable, "-c", program), seconds=20)
    junk = (*SignalTypeContract.junk, "a" * 5000)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_computes_a_type_declares_it_as_lists_know_it(name: str) -> None:
    signal_type, hasher = BUILT_IN[name], BUILT_IN_HASHERS[name]
    assert isinstance(hasher, PictureHash if signal_type.perceptual else Digest)
    for field in ("name", "version", "bits", "perceptual"):
        assert getattr(hasher, field) == getattr(signal_type, field)


def test_digests_are_those_of_the_standard_library() -> None:
    for name in ("md5", "sha1", "sha256"):
        hasher = BUILT_IN_HASHERS[name]
        assert isinstance(hasher, Digest)
        running = hasher.new()
        running.update(b"abc")
        assert running.hexdigest() == hashlib.new(name, b"abc").hexdigest()
