"""Archives of every kind that is opened, made by other programs than the one that opens them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

Members = Mapping[str, bytes]


def zip_archive(members: Members, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive, by Python."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tar_archive(members: Members, *, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive, by Python."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()


def old_tar_archive(members: Members) -> bytes:
    """Return a tar archive of 1979: without a signature in its headers."""
    archive = bytearray()
    for name, content in members.items():
        header = bytearray(512)
        header[: len(name)] = name.encode()
        header[100:108], header[108:116], header[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
        header[124:136] = b"%011o\0" % len(content)
        header[136:148] = b"%011o\0" % 0
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        archive += header + content + bytes(-len(content) % 512)
    return bytes(archive + bytes(1024))


def rar5_archive(members: Members, main_header: bytes = bytes([1, 0, 0])) -> bytes:
    """Return a RAR 5 archive of stored files (rarlab.com/technote.htm).

    The *main_header* has its type, header flags, the size of extra fields if any, archive flags.
    """
    archive = b"Rar!\x1a\x07\x01\x00" + _rar_block(main_header)
    for name, content in members.items():
        encoded = name.encode()
        fields = (
            *(2, 2, len(content), 4, len(content)),  # type, flags: data; sizes; flags: CRC
            0o644,
        )
        header = b"".join(map(_vint, fields)) + struct.pack("<I", zlib.crc32(content))
        header += _vint(0) + _vint(1) + _vint(len(encoded)) + encoded
        archive += _rar_block(header) + content
    return archive + _rar_block(bytes([5, 0, 0]))


def _rar_block(header: bytes) -> bytes:
    sized = _vint(len(header)) + header
    return struct.pack("<I", zlib.crc32(sized)) + sized


def _vint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _made_by(
    command: Callable[[list[str]], list[str]], members: Members, *, given: bool = False
) -> bytes:
    """Return the archive ``out`` that a program makes of files in its working directory.

    *given*: it reads their names, and writes the archive to standard output.
    """
    with tempfile.TemporaryDirectory() as directory:
        for name, content in members.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        names = "".join(f"{name}\n" for name in members)
        output = subprocess.run(
            command([*members]),
            cwd=directory,
            input=names.encode() if given else b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout
        return output if given else next(Path(directory).glob("out*")).read_bytes()


def seven_zip_archive(members: Members, *options: str) -> bytes:
    """Return a 7z archive, by 7-Zip."""
    return _made_by(lambda names: ["7z", "a", *options, "out.7z", *names], members)


def encrypted_zip_archive(members: Members, method: str) -> bytes:
    """Return an encrypted ZIP archive, by 7-Zip; *method* is ZipCrypto or AES256."""
    return _made_by(
        lambda names: ["7z", "a", "-tzip", "-psecret", f"-mem={method}", "out.zip", *names],
        members,
    )


def _filtered(command: str, content: bytes) -> bytes:
    return subprocess.run([command, "-c"], input=content, capture_output=True, check=True).stdout


def _packed(pack: Callable[[bytes], bytes]) -> Callable[[Members], bytes]:
    return lambda members: pack(tar_archive(members))


_ISO = ["bsdtar", "--format", "iso9660", "-cf", "out.iso"]

MAKERS: Mapping[str, Callable[[Members], bytes]] = {
    "zip": zip_archive,
    "zip stored": lambda members: zip_archive(members, zipfile.ZIP_STORED),
    "zip bzip2": lambda members: zip_archive(members, zipfile.ZIP_BZIP2),
    "zip lzma": lambda members: zip_archive(members, zipfile.ZIP_LZMA),
    "tar pax": tar_archive,
    "tar ustar": lambda members: tar_archive(members, form=tarfile.USTAR_FORMAT),
    "tar gnu": lambda members: tar_archive(members, form=tarfile.GNU_FORMAT),
    "tar old": old_tar_archive,
    "tar.gz": _packed(gzip.compress),
    "tar.bz2": _packed(bz2.compress),
    "tar.xz": _packed(lzma.compress),
    "tar.zst": _packed(lambda tar: _filtered("zstd", tar)),
    "tar.lz4": _packed(lambda tar: _filtered("lz4", tar)),
    "7z": seven_zip_archive,
    "7z bzip2": lambda members: seven_zip_archive(members, "-m0=bzip2"),
    "rar5": rar5_archive,
    "cpio": lambda m: _made_by(lambda _: ["cpio", "-o", "-H", "newc"], m, given=True),
    "iso": lambda members: _made_by(lambda names: [*_ISO, *names], members),
    "ar": lambda members: _made_by(lambda names: ["ar", "rc", "out.a", *names], members),
}
"""What makes an archive of every kind."""
