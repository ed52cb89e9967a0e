"""Every documented format is imported as it comes, or refused with one message that helps."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import sqlite3
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.errors import ListError
from hashwacht.core.signals import BUILT_IN, HexSignalType
from hashwacht.matching.hashlists.parser import ListFile, ParseOptions
from hashwacht.matching.hashlists.readers.entries import (
    Item,
    LeftOut,
    ListEntry,
    RejectedLine,
)
from hashwacht.matching.hashlists.readers.json_stream import WINDOW

CONTENT = b"a file that a list knows"
MD5, SHA1, SHA256 = (hashlib.new(kind, CONTENT).hexdigest() for kind in ("md5", "sha1", "sha256"))
SHA512 = hashlib.sha512(CONTENT).hexdigest()
PDQ = random.Random(3).randbytes(32).hex()
PHOTODNA = base64.b64encode(random.Random(4).randbytes(144)).decode()
DEFAULTS = ParseOptions()


def _items(content: bytes, options: ParseOptions = DEFAULTS, **extra: Any) -> list[Item]:
    return list(ListFile(io.BytesIO(content), options, BUILT_IN, **extra))


def _signals(items: list[Item]) -> list[tuple[str, str]]:
    assert not [item for item in items if isinstance(item, RejectedLine)]
    return [(item.type, item.value.hex()) for item in items if isinstance(item, ListEntry)]


def _left_out(items: list[Item]) -> dict[str, int]:
    return dict(Counter(item.what for item in items if isinstance(item, LeftOut)))


def _read(content: str | bytes) -> list[tuple[str, str]]:
    return _signals(_items(content.encode() if isinstance(content, str) else content))


HASHDEEP = "%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked from: /srv\n## \n"
ALL = [("md5", MD5), ("sha1", SHA1), ("sha256", SHA256)]


@pytest.mark.parametrize("tool", ["md5sum", "sha1sum", "sha256sum"])
@pytest.mark.parametrize("form", [(), ("--binary",), ("--tag",)])
@pytest.mark.parametrize("name", [b"plain", b"with  two # blanks", b"new\nline", b"caf\xe9 \\"])
def test_checksum_file_of_coreutils(
    tmp_path: Path, tool: str, form: tuple[str, ...], name: bytes
) -> None:
    path = bytes(tmp_path) + b"/" + name
    with open(path, "wb") as file:  # noqa: PTH123  # a name that is not UTF-8
        file.write(CONTENT)
    output = subprocess.run([tool, *form, path], check=True, capture_output=True).stdout
    kind = tool.removesuffix("sum")
    assert _read(output) == [(kind, hashlib.new(kind, CONTENT).hexdigest())]


@pytest.mark.parametrize(
    ("content", "signals"),
    [
        (f"SHA2-256(a (b) = c)= {SHA256}\nMD5(x)= {MD5}\n", [ALL[2], ALL[0]]),
        (
            f"{HASHDEEP}24,{MD5},{SHA256},/srv/a, b #c\n",
            [ALL[0], ALL[2]],
        ),
        (f"{MD5}:24:Win.Test-1\n{SHA1}:*:Win.Test-2:73\n", ALL[:2]),
        (f"{SHA256}:24:Win.Test-3\n", ALL[2:]),
        (f'["md5 {MD5}", "sha1:{SHA1}"]', ALL[:2]),
        (json.dumps([{"md5": MD5, "SHA-1": SHA1, "sha_256": SHA256}]), ALL),
        (json.dumps({"md5": [MD5], "sha1": [SHA1]}, indent=1), ALL[:2]),
        (f"MD5,SHA-1\n{MD5},{SHA1}\n", ALL[:2]),
        (f"MD5 Hash;SHA1 (hex);SHA256sum\n{MD5};{SHA1};{SHA256}\n", ALL),
        (f"hash_md5,sha 1\n{base64.b64encode(bytes.fromhex(MD5)).decode()},{SHA1}\n", ALL[:2]),
        (f"indicator,type\n{PDQ},HASH_PDQ\n{MD5},HASH_MD5\n", [("pdq", PDQ), ALL[0]]),
        (json.dumps({"type": "HASH_MD5", "indicator": MD5, "status": "MALICIOUS"}), ALL[:1]),
        (
            json.dumps({"data": [{"id": 7, "raw_indicator": SHA1, "type": "HASH_SHA1"}]}),
            ALL[1:2],
        ),
        (
            json.dumps(
                {"data": [{"id": "7", "indicator": {"indicator": MD5, "type": "HASH_MD5"}}]}
            ),
            ALL[:1],
        ),
        (
            json.dumps([{"id": 3, "signals": {"pdq": PDQ, "video_md5": MD5}}]),
            [("pdq", PDQ), ALL[0]],
        ),
        (json.dumps({"signal_type": "pdq", "signal": PDQ, "id": 4}), [("pdq", PDQ)]),
        (
            json.dumps({"hashRecords": [{"signalType": "ImagePDQ", "hashValue": PDQ}]}),
            [("pdq", PDQ)],
        ),
        (json.dumps([{"algorithm": "MD5", "hash_digest": MD5, "id": 1}]), ALL[:1]),
    ],
)
def test_text_table_or_json_is_understood(content: str, signals: list[tuple[str, str]]) -> None:
    assert _read(content) == signals


def test_exchange_export_with_many_columns() -> None:
    header = "id,indicator,type,owner,privacy_type,status,severity"
    rows = [f"1,{MD5},HASH_MD5,7,VISIBLE,MALICIOUS,SEVERE", "2,abc,HASH_TMK,7,VISIBLE,UNKNOWN,INFO"]
    items = _items("\n".join([header, *rows]).encode())
    assert _signals(items) == ALL[:1]
    assert _left_out(items) == {"tmk hashes (no such signal type here)": 1}


def _vic(model: str, media: list[dict[str, Any]], *, in_case: bool = False) -> dict[str, Any]:
    key = "odata.metadata" if "1.3" in model else "@odata.context"
    value: list[dict[str, Any]] = [{"CaseID": "c1", "Media": media}] if in_case else media
    return {key: f"http://github.com/{model}", "value": value}


VIC_1_3 = "ICMEC/ProjectVic/DataModels/1.3.xml#Media"
VIC_2_0 = "VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Cases"
CAID = "VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/UK/$metadata#Cases"


def _medium(number: int, category: int | None, **extra: Any) -> dict[str, Any]:
    value = hashlib.md5(b"%d" % number).hexdigest().upper()
    files = [{"MD5": value, "FileName": "a.jpg", "FilePath": "C:\\x"}]
    return {"MediaID": number, "Category": category, "MD5": value, "MediaFiles": files, **extra}


@pytest.mark.parametrize(("model", "prefix"), [(VIC_1_3, "vic"), (VIC_2_0, "vic"), (CAID, "caid")])
@pytest.mark.parametrize("in_case", [False, True])
@pytest.mark.parametrize("size", [1, WINDOW + 5])
def test_media_have_their_category(model: str, prefix: str, in_case: bool, size: int) -> None:
    """Also where the document, or a single medium, is longer than what is decoded at once."""
    media = [
        _medium(1, 1, SHA1=SHA1.upper(), PhotoDNA=PHOTODNA, Exifs=[{"PropertyValue": "x" * size}]),
        _medium(2, 2),
        _medium(3, 0),
        _medium(4, None),
        _medium(5, 5),
        _medium(6, 3, AlternativeHashes=[{"HashName": "SHA256", "HashValue": SHA256}]),
    ]
    items = _items(json.dumps(_vic(model, media, in_case=in_case)).encode())
    entries = [item for item in items if isinstance(item, ListEntry)]
    assert {(entry.type, entry.id, entry.category) for entry in entries} == {
        ("md5", "1", f"{prefix}-1"),
        ("sha1", "1", f"{prefix}-1"),
        ("md5", "2", f"{prefix}-2"),
        ("md5", "6", f"{prefix}-3"),
        ("sha256", "6", f"{prefix}-3"),
    }
    assert _left_out(items) == {
        "photodna hashes (no such signal type here)": 1,
        "media of category 0": 1,
        "media without a category": 1,
        "media of category 5": 1,
    }


def test_known_good_list_takes_media_that_are_not_pertinent() -> None:
    document = json.dumps(_vic(VIC_2_0, [_medium(1, 1), _medium(2, 0)])).encode()
    (entry,) = (i for i in _items(document, known_good=True) if isinstance(i, ListEntry))
    assert entry.id == "2"
    chosen = ParseOptions(media_categories=frozenset({1}))
    (entry,) = (i for i in _items(document, chosen) if isinstance(i, ListEntry))
    assert entry.id == "1"


def test_licensed_hash_is_taken_where_its_type_is_installed() -> None:
    types = {**BUILT_IN, "photodna": HexSignalType("photodna", 1152, perceptual=False)}
    document = json.dumps(_vic(VIC_2_0, [_medium(1, 1, PhotoDNA=PHOTODNA)])).encode()
    items = list(ListFile(io.BytesIO(document), DEFAULTS, types))
    assert ("photodna", base64.b64decode(PHOTODNA)) in {
        (item.type, item.value) for item in items if isinstance(item, ListEntry)
    }


def test_misp_event_yields_hashes_of_files_only() -> None:
    def attribute(kind: str, value: str, **extra: Any) -> dict[str, Any]:
        return {"uuid": f"u-{kind}", "type": kind, "value": value, "to_ids": True, **extra}

    inner = {"name": "file", "uuid": "o", "Attribute": [attribute("sha256", SHA256)]}
    event = {
        "info": "x",
        "Orgc": {"name": "y", "uuid": "z"},
        "Attribute": [
            attribute("md5", MD5, category="Payload delivery"),
            attribute("filename|sha1", f"a|b.jpg|{SHA1}"),
            attribute("ip-dst", "192.0.2.1"),
            attribute("ssdeep", "3:a:b"),
            attribute("md5", "0" * 32, deleted=True),
        ],
        "Object": [inner],
    }
    items = _items(json.dumps({"response": [{"Event": event}]}).encode())
    assert sorted(_signals(items)) == ALL
    assert {item.category for item in items if isinstance(item, ListEntry)} == {""}
    assert _left_out(items) == {
        "attributes of type ip-dst": 1,
        "ssdeep hashes (no such signal type here)": 1,
        "deleted attributes": 1,
    }


def test_misp_export_as_csv() -> None:
    header = "uuid,event_id,category,type,value,comment,to_ids,date,object_relation"
    rows = [
        f"u1,1,Payload delivery,md5,{MD5},,1,20260101,",
        f'u2,1,Payload delivery,filename|sha256,"a.jpg|{SHA256}",,1,20260101,',
        "u3,1,Network activity,ip-dst,192.0.2.1,,1,20260101,",
    ]
    items = _items("\n".join([header, *rows]).encode())
    assert _signals(items) == [ALL[0], ALL[2]]
    assert _left_out(items) == {"attributes of type ip-dst": 1}


@pytest.mark.parametrize("repeat", [1, 4000])
def test_misp_warning_list(repeat: int) -> None:
    values = [MD5, SHA1, SHA256, SHA512] * repeat
    document = {"name": "Empty", "type": "string", "list": values, "matching_attributes": ["md5"]}
    items = _items(json.dumps(document).encode())
    assert Counter(_signals(items)) == dict.fromkeys(ALL, repeat)
    assert sum(_left_out(items).values()) == repeat


def test_stix_bundle_yields_hashes_of_files() -> None:
    hashes = {"MD5": MD5, "SHA-1": SHA1, "SHA-256": SHA256, "SSDEEP": "3:a:b"}
    pattern = f"[file:hashes.'SHA-256' = '{SHA256}' OR file:hashes.MD5 IN ('{MD5}')]"
    objects = [
        {"type": "file", "spec_version": "2.1", "id": "file--1", "hashes": hashes},
        {"type": "indicator", "id": "indicator--1", "pattern": pattern, "pattern_type": "stix"},
        {"type": "indicator", "id": "indicator--2", "pattern": "[ipv4-addr:value = '192.0.2.1']"},
        {"type": "file", "id": "file--2", "hashes": hashes, "revoked": True},
        {"type": "identity", "id": "identity--1", "name": "x"},
    ]
    items = _items(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}).encode())
    assert _signals(items) == [*ALL, ALL[2], ALL[0]]
    assert _left_out(items) == {
        "ssdeep hashes (no such signal type here)": 1,
        "indicators without a hash of a file": 1,
        "revoked objects": 1,
        "objects of type identity": 1,
    }


@pytest.mark.parametrize("comparison", ["!=", "NOT =", "LIKE", ">"])
def test_indicator_that_does_not_demand_a_hash_is_malformed(comparison: str) -> None:
    pattern = f"[file:hashes.MD5 {comparison} '{MD5}']"
    document = {"type": "indicator", "id": "indicator--1", "pattern": pattern}
    (item,) = _items(json.dumps(document).encode())
    assert isinstance(item, RejectedLine)


NCMEC = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">
  <images count="2" maxTimestamp="2026-01-01T00:00:00Z">
    <image><member id="42">Example</member><timestamp>2026-01-01T00:00:00Z</timestamp><id>i1</id>
      <classification>A1</classification>
      <fingerprints><md5>{MD5}</md5><sha1>{SHA1}</sha1><pdna>00</pdna><pdq>{PDQ}</pdq></fingerprints>
    </image>
    <deletedImage><member id="43">Other</member><id>i2</id></deletedImage>
  </images>
  <videos><video><member id="42">Example</member><id>v1</id>
    <fingerprints><md5>{MD5}</md5></fingerprints></video></videos>
  <paging><next>/v2/entries?from=1&amp;to=2</next></paging>
</queryResult>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_ncmec_answer(encoding: str) -> None:
    items = _items(NCMEC.replace("UTF-8", encoding.upper()).encode(encoding))
    assert _signals(items) == [*ALL[:2], ("pdq", PDQ), ALL[0]]
    labels = [(item.id, item.category) for item in items if isinstance(item, ListEntry)]
    assert labels == [("42/i1", "ncmec-a1")] * 3 + [("42/v1", "")]
    assert _left_out(items) == {
        "withdrawn or deleted entries": 1,
        "pdna hashes (no such signal type here)": 1,
    }


def test_ncmec_entry_with_too_many_hashes_is_refused() -> None:
    one = f"<md5>{MD5}</md5>"
    assert len(_signals(_items(NCMEC.replace(one, one * 61).encode()))) == 124
    with pytest.raises(ListError, match="more than 64 hashes"):
        _items(NCMEC.replace(one, one * 65).encode())


@pytest.mark.parametrize("form", ["", "\n"])
@pytest.mark.parametrize("inner", [[f"md5 {SHA1}"], {"a": [{"sha1": SHA1}]}])
def test_json_nested_too_deeply_is_not_left_out_unnoticed(inner: object, form: str) -> None:
    for _ in range(40):
        inner = [inner]
    one = json.dumps({"md5": MD5})
    deep = json.dumps({"x": inner})
    content = f"{one}{form}{deep}\n" if form else f"[{one}, {deep}]"
    items = _items(content.encode())
    assert [type(item) for item in items] == [ListEntry, RejectedLine]


def test_xml_with_entities_is_refused() -> None:
    bomb = '<!DOCTYPE q [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    document = NCMEC.replace("<queryResult", bomb + "<queryResult", 1)
    with pytest.raises(ListError, match="document type declaration"):
        _items(document.encode())


NSRL_2_HEADER = (
    '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"'
)


def test_nsrl_2_with_names_in_latin_1() -> None:
    row = f'"{SHA1.upper()}","{MD5.upper()}","DA6EC4C1","r\xe9sum\xe9.gif",24,8762,"358",""'
    items = _items(f"{NSRL_2_HEADER}\r\n{row}\r\n".encode("latin-1"))
    assert sorted(_signals(items)) == ALL[:2]


def _nsrl_3(path: Path) -> bytes:
    """Write a database with the tables and the view of RDS 3 that contain hashes."""
    database = sqlite3.connect(path)
    database.executescript(
        """
        CREATE TABLE PACKAGE_OBJECT (package_id INTEGER, object_id INTEGER);
        CREATE TABLE METADATA (
            metadata_id INTEGER PRIMARY KEY, object_id INTEGER, key_hash VARCHAR,
            file_name VARCHAR, extension VARCHAR, bytes INTEGER, crc32 VARCHAR NOT NULL,
            md5 VARCHAR NOT NULL, sha1 VARCHAR NOT NULL, sha256 VARCHAR NOT NULL);
        CREATE TABLE VERSION (version VARCHAR UNIQUE NOT NULL);
        CREATE VIEW FILE AS SELECT UPPER(md.sha256) AS sha256, UPPER(md.sha1) AS sha1,
            UPPER(md.md5) AS md5, md.bytes AS file_size, po.package_id
            FROM METADATA AS md, PACKAGE_OBJECT AS po WHERE md.object_id = po.object_id;
        """
    )
    database.execute(
        "INSERT INTO METADATA VALUES (1, 1, 'k', 'a', 'gif', 24, '0', ?, ?, ?)",
        (MD5.upper(), SHA1.upper(), SHA256.upper()),
    )
    database.commit()
    database.close()
    return path.read_bytes()


def test_nsrl_3_is_read_from_the_database_or_its_archive(tmp_path: Path) -> None:
    content = _nsrl_3(tmp_path / "RDS.db")
    assert sorted(_read(content)) == ALL
    assert sorted(_read(gzip.compress(content))) == ALL
    with zipfile.ZipFile(tmp_path / "RDS.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("RDS/RDS.db", content)
        archive.writestr("RDS/README.txt", "text")
    with (tmp_path / "RDS.zip").open("rb") as file:
        items = list(ListFile(file, DEFAULTS, BUILT_IN))
    assert sorted(_signals(items)) == ALL


def _zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("list.txt", content)
    return file.getvalue()


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        _zipped,
        lambda content: gzip.compress(content[:40]) + gzip.compress(content[40:]),
        lambda content: lzma.compress(content[:40]) + lzma.compress(content[40:]),
        lambda content: _zipped(gzip.compress(content)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_packed_or_utf_16(pack: Callable[[bytes], bytes], encoding: str) -> None:
    content = f"md5 {MD5}\nsha1 {SHA1}\n".encode(encoding)
    assert _read(content) == _read(pack(content)) == ALL[:2]
    file = ListFile(io.BytesIO(pack(content)), DEFAULTS, BUILT_IN)
    list(file)
    assert file.sha256 == hashlib.sha256(pack(content)).hexdigest()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, _zipped])
def test_packed_file_that_is_cut_is_an_error(pack: Callable[[bytes], bytes]) -> None:
    content = pack("".join(f"md5 {n:032x}\n" for n in range(5000)).encode())
    with pytest.raises(ListError) as raised:
        _items(content[: len(content) // 2])
    assert raised.value.advice


@pytest.mark.parametrize("pack", [gzip.compress, partial(lzma.compress, preset=0), _zipped])
def test_unpacking_is_bounded(pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ListError, match="times its size"):
        _items(pack((b"#" * 60_000 + b"\n") * 1600))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (f"MD5,Schlumpf\n{MD5},1\n", "'Schlumpf'"),
        (f"MD5,SHA-512\n{MD5},{SHA512}\n", "'SHA-512'"),
        (f"MD5,PhotoDNA,Filename\n{MD5},{PHOTODNA},a\n", "'PhotoDNA'"),
    ],
)
def test_unknown_column_is_an_error_that_names_it(content: str, name: str) -> None:
    with pytest.raises(ListError, match=name) as raised:
        _items(content.encode())
    assert "--ignore-column" in raised.value.advice
    title = name.strip("'")
    ignored = ParseOptions(excluded=frozenset({title}))
    assert _signals(_items(content.encode(), ignored)) == ALL[:1]
    assert _signals(_items(content.encode(), ParseOptions(excluded=frozenset("*")))) == ALL[:1]


def test_unknown_key_is_malformed_and_named() -> None:
    (item,) = _items(json.dumps({"type": "md5", "value": MD5, "sha512": SHA512}).encode())
    assert item == RejectedLine(1, "unknown key 'sha512'")


@pytest.mark.parametrize(
    ("content", "seems", "advice"),
    [
        (f"{MD5}\n" * 30, "bare values of 32", "--type md5"),
        (f"{SHA1}\n" * 30, "bare values of 40", "--type sha1"),
        (f"{SHA256}\n", "bare values of 64", "--type sha256 or --type pdq"),
        (f"{SHA512}  a.jpg\n" * 30, "sha512", "md5, sha1 or sha256"),
        (f"{MD5},a.jpg,3\n" * 30, "without a header", "first line"),
        (f"{MD5} a.jpg\n" * 30, "something else on each line", "--type md5"),
        (f"{PHOTODNA}\n" * 30, "PhotoDNA", "--type"),
        (f"Name,Nummer\n{MD5},2\n" * 3, "a table", "--column"),
        (f"Hash\n{MD5}\n", "no column names the signal type", "--type"),
        ("<!DOCTYPE html><html>", "a web page", "again"),
        ("<rss></rss>", "XML", "CSV"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(64), "7-Zip", "Unpack"),
        (b"\x28\xb5\x2f\xfd" + bytes(64), "zstd", "unzstd"),
        (b"ClamAV-VDB:x", "ClamAV", "sigtool"),
        (b"%PDF-1.7", "PDF", "CSV"),
        (b"\x89PNG\r\n\x1a\n", "a picture", "hashwacht hash"),
        (b"ssdeep,1.1--blocksize:hash:hash,filename\n3:a:b,x", "ssdeep", "sha256"),
        (b"-----BEGIN PGP MESSAGE-----\n", "OpenPGP", "gpg"),
        (bytes(257) + b"ustar" + bytes(200), "tar", "Unpack"),
        (bytes(range(16)) * 3 + bytes(1000), "binary", "CSV"),
    ],
)
def test_something_else_is_refused_once_with_advice(
    content: str | bytes, seems: str, advice: str
) -> None:
    with pytest.raises(ListError, match=seems) as raised:
        _items(content.encode() if isinstance(content, str) else content)
    assert advice in raised.value.advice
    assert MD5 not in raised.value.message + raised.value.advice


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_document_is_read_alike_however_it_is_cut(data: st.DataObject) -> None:
    """Blocks of any size, and entries with members longer than what is decoded at once."""
    long = data.draw(st.sampled_from([0, WINDOW // 3, WINDOW + 1]))
    block = data.draw(st.sampled_from([1 << 16, 1 << 18] if long else [1, 7, 500, 1 << 16]))
    media = [
        _medium(n, data.draw(st.sampled_from([0, 1, 2])), Comments='\\"é' * (long // 4))
        for n in range(data.draw(st.integers(0, 5)))
    ]
    document = json.dumps(_vic(VIC_2_0, media, in_case=data.draw(st.booleans()))).encode()

    class Cut(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 1, block))

    wanted = [m["MD5"].lower() for m in media if m["Category"]]
    entries = list(ListFile(Cut(document), DEFAULTS, BUILT_IN))
    assert [item.value.hex() for item in entries if isinstance(item, ListEntry)] == wanted
    assert not [item for item in entries if isinstance(item, RejectedLine)]
