"""SVG files with embedded pictures (SVG 2; RFC 2397)."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from urllib.parse import quote

from PIL.Image import Image

from demo.pictures import encode

NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def uri(content: bytes, kind: str = "image/png") -> str:
    """Return a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def drawing(picture: Image, body: str, *, prolog: str = "") -> bytes:
    """Return an SVG of the size of *picture*."""
    sides = f'width="{picture.width}" height="{picture.height}"'
    return f"{prolog}<svg {NAMESPACES} {sides}>{body}</svg>".encode()


def svg_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield SVG files with names; each shows *picture*."""
    png, jpeg = encode(picture, "png"), encode(picture, "jpeg")
    sides = f'width="{picture.width}" height="{picture.height}"'
    image = f'<image {sides} href="{uri(png)}"/>'
    plain = drawing(picture, image)
    entity = uri(png)
    for name, body in {
        "href": image,
        "xlink": f'<image {sides} xlink:href="{uri(jpeg, "image/jpeg")}"/>',
        "group": f"<g><desc>a</desc><rect/>{image}</g>",
        "percent-encoded": f'<image {sides} href="data:image/png,{quote(png)}"/>',
        "upper-case": f'<image {sides} href="DATA:IMAGE/PNG;BASE64,{uri(png)[22:]}"/>',
        "other-type": f'<image {sides} href="{uri(png, "image/gif")}"/>',
        "white-space": f'<image {sides} href="{uri(png)[:90]}\n  {uri(png)[90:]}"/>',
        "character-references": f'<image {sides} href="&#x64;&#97;ta{uri(png)[4:]}"/>',
        "style": f'<foreignObject {sides}><div xmlns="http://www.w3.org/1999/xhtml" '
        f"style=\"width:100%;height:100%;background:url('{uri(png)}')\"/></foreignObject>",
        "style-sheet": f"<style>div {{width:100%;height:100%;background:url({uri(png)})}}</style>"
        f'<foreignObject {sides}><div xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>',
        "html": f'<foreignObject {sides}><img xmlns="http://www.w3.org/1999/xhtml" '
        f'src="{uri(png)}"/></foreignObject>',
        "pattern": f'<pattern id="p" patternUnits="userSpaceOnUse" {sides}>{image}</pattern>'
        f'<rect {sides} fill="url(#p)"/>',
        "nested": f'<image {sides} href="{uri(plain, "image/svg+xml")}"/>',
        "quarters": "".join(_quarters(picture)),
        "broken-after": f"{image}<g>",
    }.items():
        yield f"svg-{name}", drawing(picture, body)
    declared = f'<!DOCTYPE svg [<!ENTITY a "{entity[:99]}"><!ENTITY b "{entity[99:]}">]>'
    parts = drawing(picture, f'<image {sides} href="&a;&b;"/>', prolog=declared)
    yield "svg-entities", parts
    yield "svg-xml-declaration", b'<?xml version="1.0" encoding="UTF-8"?>\n' + plain
    yield (
        "svg-utf-16",
        ('<?xml version="1.0" encoding="UTF-16"?>' + plain.decode()).encode("utf-16"),
    )
    latin = plain.decode().replace("<image", "\xe9<image")
    declared = f'<?xml version="1.0" encoding="windows-1252"?>{latin}'
    yield "svg-windows-1252", declared.encode("cp1252")
    yield "svg-bom", b"\xef\xbb\xbf" + plain
    yield "svg-long-comment", b"<!--" + b"x" * 70_000 + b"-->" + plain
    prefixed = plain.replace(b"<svg xmlns=", b"<s:svg xmlns:s=").replace(b"</svg", b"</s:svg")
    yield "svg-prefix", prefixed.replace(b"<image", b"<s:image")


def packed_svg(picture: Image) -> bytes:
    """Return an SVGZ, which servers send with ``Content-Encoding: gzip``."""
    png = encode(picture, "png")
    sides = f'width="{picture.width}" height="{picture.height}"'
    return gzip.compress(drawing(picture, f'<image {sides} href="{uri(png)}"/>'), mtime=0)


def _quarters(picture: Image) -> Iterator[str]:
    width, height = picture.width // 2, picture.height // 2
    for x in (0, width):
        for y in (0, height):
            part = encode(picture.crop((x, y, x + width, y + height)), "png")
            yield f'<image x="{x}" y="{y}" width="{width}" height="{height}" href="{uri(part)}"/>'
