"""Libraries that speak clamd's protocol, from PyPI and npm, against our server.

Each program prints what its library reports of one file: the word in capitals, or ``raises``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway.clamd import ServedFront, served
from support.gateway.fake_checks import DAMAGED, LISTED, FakeChecks

NPM = Path(__file__).parent / "npm"
FILES = {"listed": LISTED, "other": b"other", "damaged": DAMAGED}

PYTHON = {
    "clamd": """
import clamd
result = clamd.ClamdUnixSocket(socket).instream(io.BytesIO(content))
report(None if result is None else result["stream"][0])
""",
    "clamd-path": """
import clamd
report(list(clamd.ClamdUnixSocket(socket).scan(path).values())[0][0])
""",
    "clamd-tcp": """
import clamd
report(clamd.ClamdNetworkSocket("127.0.0.1", port).instream(io.BytesIO(content))["stream"][0])
""",
    "pyclamd": """
import pyclamd
result = pyclamd.ClamdUnixSocket(socket).scan_stream(content)
report("OK" if result is None else result["stream"][0])
""",
    "clamav-client": """
from clamav_client import get_scanner
config = {"backend": "clamd", "address": socket, "timeout": 10.0, "stream": True}
result = get_scanner(config).scan(path)
report("OK" if result.passed else result.state or "ERROR")
""",
    "aioclamd": """
import asyncio, aioclamd
client = aioclamd.ClamdAsyncClient("127.0.0.1", port)
result = asyncio.run(client.instream(io.BytesIO(content)))
report(None if result is None else result["stream"][0])
""",
    "django-clamd": """
import django
from django.conf import settings
settings.configure(CLAMD_SOCKET=socket, CLAMD_USE_TCP=False, CLAMD_ENABLED=True)
django.setup()
from django.core.exceptions import ValidationError
from django_clamd.validators import validate_file_infection
try:
    validate_file_infection(io.BytesIO(content))
    report("OK")
except ValidationError:
    report("FOUND")
""",
}

HEAD = """
import io, json, sys, types
sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")  # gone; clamd wants its version
sys.modules["pkg_resources"].get_distribution = lambda name: types.SimpleNamespace(version="1")
socket, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
content = open(path, "rb").read()
def report(word):
    print(json.dumps(word))
"""

NODE = {
    "clamscan": """
const NodeClam = require('clamscan');
new NodeClam().init({clamscan: {active: false}, preference: 'clamdscan',
  clamdscan: {socket: socket, timeout: 10000, localFallback: false}})
  .then((clam) => clam.isInfected(path))
  .then((result) => report(result.isInfected === false ? 'OK' : 'FOUND')).catch(raises);
""",
    "clamscan-stream": """
const NodeClam = require('clamscan');
new NodeClam().init({clamscan: {active: false}, preference: 'clamdscan',
  clamdscan: {host: '127.0.0.1', port: port, timeout: 10000, localFallback: false}})
  .then((clam) => clam.scanStream(require('fs').createReadStream(path)))
  .then((result) => report(result.isInfected === false ? 'OK' : 'FOUND')).catch(raises);
""",
    "clamdjs": """
const clamd = require('clamdjs');
clamd.createScanner('127.0.0.1', port).scanFile(path, 10000)
  .then((reply) => report(clamd.isCleanReply(reply) ? 'OK' : 'FOUND')).catch(raises);
""",
    "clamav.js": """
const clamav = require('clamav.js');
clamav.createScanner(port, '127.0.0.1').scan(path, (error, object, malicious) =>
  error ? raises(error) : report(malicious ? 'FOUND' : 'OK'));
""",
}

NODE_HEAD = """
const [socket, port, path] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
const report = (word) => { console.log(JSON.stringify(word)); process.exit(0); };
const raises = () => report('raises');
"""

PASSES_ON_ERROR: set[str] = set()
"""Libraries that report an undetermined file as harmless: none, with the bare form of an error."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[ServedFront]:
    paths = {bytes(directory / name): content for name, content in FILES.items()}
    with served(FakeChecks(paths=paths), directory) as server:
        yield server


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the packages of the lock, and return their directory."""
    program = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NPM / name, program)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--omit=optional"]
    subprocess.run(install, cwd=program, check=True, capture_output=True, timeout=200)
    return program


def reported(command: list[str | Path], server: ServedFront, path: Path, socket: Path) -> str:
    """Return the word that a program prints; one that fails raises."""
    arguments = [*command, socket, str(server.port), path]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    word = json.loads(result.stdout) if result.returncode == 0 else "raises"
    return str(word)


def python(name: str) -> list[str | Path]:
    return [sys.executable, "-W", "ignore", "-c", HEAD + PYTHON[name]]


def node(name: str, modules: Path) -> list[str | Path]:
    program = modules / f"{name}.cjs"
    program.write_text(NODE_HEAD + NODE[name])
    return ["node", program]


def check(command: list[str | Path], name: str, server: ServedFront, directory: Path) -> None:
    """Assert what a library reports of each file, and without a server."""
    socket = server.path
    assert reported(command, server, directory / "listed", socket) == "FOUND"
    assert reported(command, server, directory / "other", socket) == "OK"
    word = reported(command, server, directory / "damaged", socket)
    assert (word == "OK") is (name in PASSES_ON_ERROR), word


@pytest.mark.parametrize("name", PYTHON)
def test_a_library_for_python(name: str, server: ServedFront, directory: Path) -> None:
    check(python(name), name, server, directory)


@pytest.mark.parametrize("name", NODE)
def test_a_library_for_node(name: str, server: ServedFront, directory: Path, modules: Path) -> None:
    check(node(name, modules), name, server, directory)


def test_no_library_accepts_a_file_in_an_outage(directory: Path, tmp_path: Path) -> None:
    with served(FakeChecks(), tmp_path) as server:
        server.close()
        for name in PYTHON:
            assert reported(python(name), server, directory / "listed", server.path) != "OK", name
        server.listen()


def test_no_library_for_node_accepts_a_file_in_an_outage(
    directory: Path, tmp_path: Path, modules: Path
) -> None:
    with served(FakeChecks(), tmp_path) as server:
        server.close()
        for name in NODE:
            command = node(name, modules)
            assert reported(command, server, directory / "listed", server.path) != "OK", name
        server.listen()
