"""Generated multipart requests: the grammar of RFC 2046 and 7578, and what parsers tolerate.

A request deviates from what browsers send in up to three aspects, so that most are accepted by some
parser, and many by all.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

HIDDEN = b"GIF89a\0hidden\xff\r\n\x85picture"
HIDDEN_TEXT = b"P3 1 2\r\n3\n" + b"4 5 6 7 " * 600
HIDDEN_ASCII = b"BM\0hidden picture"
HIDDEN_LATIN = "BM\0 \u00e4\u00f6".encode()
CONTENTS = (
    HIDDEN,
    HIDDEN_TEXT,
    HIDDEN_ASCII,
    HIDDEN_LATIN,
    HIDDEN_LATIN.decode().encode("latin-1"),
    b"\r\n" + HIDDEN + b"\r\n",
    HIDDEN + b"\r",
    HIDDEN + b"\n--",
)


@dataclass(frozen=True)
class GeneratedRequest:
    """A content type and a body."""

    content_type: str
    body: bytes


ASPECTS: dict[str, tuple[bytes, ...]] = {
    "boundary": (b"B", b"a--", b"--", b"e e", b"e'", *(b"e%cf" % each for each in b"()+,./:=?_")),
    "kind": (
        b"Multipart/Form-Data",
        b"multipart/mixed",
        b"multipart/related",
        b"multipart/digest",
        b"multipart/form-data, multipart/form-data",
    ),
    "named": (
        b"Boundary=%b",
        b"boundary = %b",
        b"boundary=%b; boundary=inner",
        b"boundary=inner; boundary=%b",
        b"boundary*=utf-8''%b",
        b"boundary*0=%b",
        b"boundary='%b'",
        b'boundary="\\%b"',
        b'boundary=%b; x="; boundary=inner"',
        b'x="; boundary=inner"; boundary=%b',
        b"boundary=%b;",
        b"boundary=%b, x",
        b"charset=utf-8;boundary=%b",
        b"charset=latin-1; boundary=%b",
        b"charset=utf-16; boundary=%b",
        b"charset=utf-7; boundary=%b",
    ),
    "preamble": (b"\r\n", b"preamble\r\n", b"\n", b"\r\n\r\n"),
    "delimiter end": (b"\n", b" \r\n", b"\t\r\n", b"\r", b"x\r\n", b"-\r\n"),
    "colon": (b":", b":\t", b" : ", b":  "),
    "header end": (b"\n", b"\r", b" \r\n", b"\r\r\n", b"\x0b\r\n", b"\x85\r\n"),
    "empty line": (b"\n", b"\r\n\r\n", b" \r\n", b""),
    "disposition name": (
        b"content-disposition",
        b"Content_Disposition",
        b" Content-Disposition",
        b"",
    ),
    "type name": (b"Content_Type", b"content-type", b"Content-Type ", b""),
    "disposition": (
        b"form-data; name=f; filename=a.jpg",
        b"form-data; name=f; filename*=utf-8''a.jpg",
        b"form-data; name=f; filename*0=a; filename*1=b",
        b'form-data; name="f"; FileName="a"',
        b'form-data; name="f"; filename=""',
        b'form-data; name="f;filename=a"',
        b'form-data; name="f\\"; filename=\\"a"',
        b'attachment; filename="a.jpg"',
        b"form-data",
        b"form-data;name=f;filename=a",
        b'form-data; name="edge"',
        b"form-data; file%6eame=a",
        b'form-data; name="f"; filename="a\\\\"',
    ),
    "type": (
        b"text/plain; charset=utf-16",
        b"text/plain; name=a.jpg",
        b"application/octet-stream",
        b"multipart/mixed; boundary=inner",
        b"multipart/mixed",
        b"message/rfc822",
        b"text/html; charset=latin-1",
    ),
    "header": (
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: BINARY",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Transfer-Encoding: x-uuencode",
        b"Content-Encoding: gzip",
        b"Content-Encoding: identity",
        b"Content-Length: 9",
        b"Content-Length: %d",
        b"X_A: b",
        b"X-A: b\n c",
        b"X-A: b\r\n c",
        b"X-A",
        b": b",
        b'Content-Disposition: form-data; name="g"; filename="b"',
        b"Content-Type: text/plain",
        b"MIME-Version: 1.0",
    ),
    "content end": (b"\n", b"", b"\r", b"\r\n\r\n", b" \r\n"),
    "last": (b"", b"--", b"\r\n--%b", b"--%b\r\n", b"--%b-- \r\n", b"--%b--x"),
    "epilogue": (b"epilogue", b"\r\n--%b\r\n", b" \r\n", b"\n--%b--\r\n"),
    "inside": (b"\r\n--", b"\n--", b"--", b"", b"\r--", b"\r\n", b"\r\n--%b-\r\n"),
}
"""What a request may deviate in, and the deviations."""

ENCODINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda content: content,
    lambda content: content,
    base64.b64encode,
    base64.encodebytes,
    gzip.compress,
)


class _Builder:
    """Builds one request with the deviations drawn for it."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._odd = draw(st.lists(st.sampled_from(sorted(ASPECTS)), max_size=3))
        self.boundary = self._pick("boundary", b"edge", b"----WebKitFormBoundary7MA4YWxk")

    def _pick(self, aspect: str, *usual: bytes) -> bytes:
        if aspect in self._odd and self._draw(st.booleans()):
            return self._draw(st.sampled_from(ASPECTS[aspect]))
        return self._draw(st.sampled_from(usual))

    def _filled(self, text: bytes) -> bytes:
        return text.replace(b"%b", self.boundary)

    def _headers(self, content: bytes) -> bytes:
        lines = []
        disposition = self._pick(
            "disposition", b'form-data; name="f"; filename="a.jpg"', b'form-data; name="f"'
        )
        kind = self._pick("type", b"image/jpeg", b"text/plain")
        if name := self._pick("disposition name", b"Content-Disposition"):
            lines.append(name + self._pick("colon", b": ") + disposition)
        if name := self._pick("type name", b"Content-Type"):
            lines.append(name + self._pick("colon", b": ") + kind)
        other = self._pick("header", b"X-A: b")
        lines.append(other.replace(b"%d", b"%d" % len(content)))
        lines = self._draw(st.permutations(lines))
        ended = [line + self._pick("header end", b"\r\n") for line in lines]
        return b"".join(ended) + self._pick("empty line", b"\r\n")

    def _content(self) -> bytes:
        known = self._draw(st.sampled_from(ENCODINGS))(self._draw(st.sampled_from(CONTENTS)))
        if "inside" not in self._odd:
            return self._draw(st.sampled_from([known, known, b"text", b"", b"\xc3\xa4 text"]))
        part = self._headers(known) + known
        delimiter = self._filled(self._draw(st.sampled_from(ASPECTS["inside"]))) + self.boundary
        inner = b"--inner\r\n" + part + b"\r\n--inner--\r\n"
        return self._draw(st.sampled_from([b"text" + delimiter + b"\r\n" + part, inner]))

    def body(self) -> bytes:
        """Return the body."""
        delimiter = b"--" + self.boundary
        pieces = [self._pick("preamble", b"")]
        for _ in range(self._draw(st.integers(1, 3))):
            content = self._content()
            pieces += [
                delimiter + self._filled(self._pick("delimiter end", b"\r\n")),
                self._headers(content),
                content,
                self._pick("content end", b"\r\n"),
            ]
        pieces.append(self._filled(self._pick("last", b"--%b--\r\n", b"--%b--")))
        epilogue = self._filled(self._pick("epilogue", b""))
        return b"".join(pieces) + epilogue + (b"".join(pieces) if epilogue else b"")

    def content_type(self) -> str:
        """Return the content type."""
        named = self._pick("named", b'boundary="%b"', b"boundary=%b")
        kind = self._pick("kind", b"multipart/form-data")
        return (kind + b"; " + self._filled(named)).decode()


@st.composite
def requests(draw: st.DrawFn) -> GeneratedRequest:
    """Return a request that deviates in up to three aspects, each in about half of the places."""
    builder = _Builder(draw)
    return GeneratedRequest(builder.content_type(), builder.body())


FILE = b'Content-Disposition: form-data; name="f"; filename="a.jpg"'
TEXT = b'Content-Disposition: form-data; name="t"'

TOKENS = (
    *(b"--edge", b"--edge\r\n", b"\r\n--edge--\r\n", b"\n--edge\n", b"\r--edge\r"),
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\n\n",
        b" ",
        b"\t",
        b"-",
        b"--",
        b"\0",
        b"\x0b",
        b"\x85",
    ),
    *(FILE, TEXT, HIDDEN, b"; filename=a", b"; filename*=utf-8''a", b'"', b"\\", b";", b":", b"="),
    *(b"Content-Type: multipart/mixed; boundary=in", b"--in\r\n", b"\r\n--in--\r\n", b"X: y"),
    *(b"Content-Transfer-Encoding: base64", b"aGlkZGVu", b"Content-Length: 5"),
)


@st.composite
def damaged_requests(draw: st.DrawFn) -> GeneratedRequest:
    """Return a form with tokens inserted or in the place of others."""
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        head = draw(st.sampled_from([FILE, TEXT]))
        content = draw(st.sampled_from([HIDDEN, b"x", b""]))
        pieces += [b"--edge\r\n", head, b"\r\n\r\n", content, b"\r\n"]
    pieces.append(b"--edge--\r\n")
    edit = st.tuples(st.integers(0, 15), st.integers(0, 2), st.sampled_from(TOKENS))
    for place, removed, token in draw(st.lists(edit, max_size=4)):
        pieces[place : place + removed] = [token]
    boundary = draw(st.sampled_from(["edge", '"edge"', "edge; x=y"]))
    return GeneratedRequest(f"multipart/form-data; boundary={boundary}", b"".join(pieces))
