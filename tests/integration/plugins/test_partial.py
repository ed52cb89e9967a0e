"""Files that arrive in parts are reported by the doctor and checked once assembled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from demo.pictures import encode, photo
from demo.sample_storage import KNOWN
from support.program import Program, objects

SITE = """
import sys
from hashwacht import Checker
from support.plugins.upload_drivers import WsgiDriver
from hashwacht_plugins.wsgi import HashwachtMiddleware

checker = Checker.configured()
driver = WsgiDriver(
    lambda app: HashwachtMiddleware(app, checker=checker, partial_paths=("/bucket/*",))
)
content = sys.stdin.buffer.read()
parts, assembled = [], b""
for number in range(3):
    begin, end = len(content) * number // 3, len(content) * (number + 1) // 3
    sent = {"method": "PUT", "path": "/bucket/key", "query": f"partNumber={number}&uploadId=x"}
    found = driver.send([content[begin:end]], "application/octet-stream", **sent)
    parts.append(found.status)
    assembled += found.received
print(parts, checker.scan_stream([assembled]).outcome)
with open(sys.argv[1], "wb") as file:
    file.write(assembled)
print(checker.scan_file(sys.argv[1]).outcome)
"""


def test_parts_pass_and_the_assembled_file_is_checked(program: Program, tmp_path: Path) -> None:
    before = objects(program.run("doctor", "--json").stdout)
    assert not [finding for finding in before if finding["subject"] == "uploads"]
    result = subprocess.run(
        [sys.executable, "-c", SITE, tmp_path / "assembled"],
        input=encode(photo(KNOWN), "png"),
        env=program.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.decode() == "[200, 200, 200] match\nmatch\n", result.stderr.decode()
    lines = objects(program.run("doctor", "--json").stdout)
    (finding,) = [line for line in lines if line["subject"] == "uploads"]
    assert "S3 multipart upload" in finding["detail"]
    assert "scan_file" in finding["detail"]
    assert finding["ok"]
