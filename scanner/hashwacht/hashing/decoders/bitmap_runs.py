"""Run-length encoded bitmaps: RLE8 and RLE4 of Windows, RLE24 of OS/2."""

from __future__ import annotations

from dataclasses import dataclass

from hashwacht.hashing.decoders.bitmap_header import BitmapHeader

_END_OF_ROW, _END, _MOVE = 0, 1, 2
_SHOWN = b"\xff"


@dataclass(frozen=True, slots=True)
class DecodedRuns:
    """*pixels* in file order, *depth* bytes each; *alpha* is 0 where the file skips a pixel."""

    pixels: bytes
    alpha: bytes
    depth: int
    complete: bool


def decode_runs(content: bytes, header: BitmapHeader) -> DecodedRuns:
    """Decode until the end of the bitmap or of the file."""
    return _RunDecoder(content, header).decode()


class _RunDecoder:
    def __init__(self, content: bytes, header: BitmapHeader) -> None:
        self._content, self._at = content, header.pixels_at
        self._width, self._height = header.width, header.height
        self._nibbles = header.layout == "rle4"
        self._depth = 3 if header.layout == "rle24" else 1
        self._pixels = bytearray(self._depth * header.width * header.height)
        self._alpha = bytearray(header.width * header.height)
        self._column = self._row = 0

    def decode(self) -> DecodedRuns:
        complete = self._decode()
        return DecodedRuns(bytes(self._pixels), bytes(self._alpha), self._depth, complete)

    def _decode(self) -> bool:
        """Return whether the bitmap ends before the file."""
        content, end = self._content, len(self._content)
        while self._row < self._height and self._at + 1 < end:
            count, code = content[self._at], content[self._at + 1]
            if count:
                self._run(count)
            elif code == _END_OF_ROW:
                self._at += 2
                self._column, self._row = 0, self._row + 1
            elif code == _END:
                return True
            elif code == _MOVE:
                self._column += content[self._at + 2] if self._at + 3 < end else 0
                self._row += content[self._at + 3] if self._at + 3 < end else 0
                self._at += 4
            else:
                self._literals(code)
        return self._row >= self._height

    def _run(self, count: int) -> None:
        """Repeat one value; for 4 bits, two values in turn."""
        value = self._content[self._at + 1 : self._at + 1 + self._depth]
        self._at += 1 + self._depth
        if self._nibbles:
            value = bytes((value[0] >> 4, value[0] & 15))
        repeats = -(-count * self._depth // len(value)) if value else 0
        self._write(value * repeats, count)

    def _literals(self, count: int) -> None:
        """Copy *count* values, which end at an even number of bytes."""
        size = -(-count // 2) if self._nibbles else count * self._depth
        values = self._content[self._at + 2 : self._at + 2 + size]
        self._at += 2 + size + size % 2
        if self._nibbles:
            values = bytes(nibble for value in values for nibble in (value >> 4, value & 15))
        self._write(values, count)

    def _write(self, values: bytes, count: int) -> None:
        """Write *count* pixels, or as many as there are and the row has room for."""
        count = min(count, len(values) // self._depth, self._width - self._column)
        if count <= 0:
            return
        start = self._row * self._width + self._column
        depth = self._depth
        self._pixels[depth * start : depth * (start + count)] = values[: depth * count]
        self._alpha[start : start + count] = _SHOWN * count
        self._column += count
