"""The OCI image scans a mounted volume, as a numeric user with a read-only root and no network.

``make test-packages`` runs this.  bubblewrap confines it as a container runtime does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.pictures import encode, photo

CHECKOUT = Path(__file__).parents[2]
PACKAGING = CHECKOUT / "packaging"
KNOWN = encode(photo(1, (200, 200)), "jpeg")
PROGRAMS = ("mmdebstrap", "umoci", "bwrap")
USER = 64640


class Image:
    """An unpacked image, its configuration and a state directory."""

    def __init__(self, bundle: Path, home: Path) -> None:
        self._root = bundle / "rootfs"
        self.process: dict[str, Any] = json.loads((bundle / "config.json").read_text())["process"]
        self._state, self.data = home / "state", home / "data"
        for path in (self._state, self.data):
            path.mkdir()
        os.chown(self._state, USER, USER)

    def run(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the entry point with these arguments, as the user and environment of the image."""
        user = self.process["user"]
        environment = dict(variable.split("=", 1) for variable in self.process["env"])
        return subprocess.run(
            [
                *("setpriv", f"--reuid={user['uid']}", f"--regid={user['gid']}", "--clear-groups"),
                *("bwrap", "--unshare-all", "--ro-bind", self._root, "/"),
                *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"),
                *("--bind", self._state, "/var/lib/hashwacht", "--ro-bind", self.data, "/srv"),
                self.process["args"][0],
                *arguments,
            ],
            input=given,
            capture_output=True,
            env=environment,
            check=False,
        )


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root, and to be installed: {', '.join(missing) or 'nothing'}")
    home = Path(tempfile.mkdtemp(dir="/var/tmp"))  # other users cannot enter those of pytest
    home.chmod(0o755)
    packages, dist = PACKAGING / "packages/build.py", home / "dist"
    subprocess.run([sys.executable, packages, dist, "debian12:amd64"], check=True)
    subprocess.run([sys.executable, PACKAGING / "image/build.py", dist], check=True)
    (archive,) = dist.glob("*.oci.tar")
    layout, bundle = home / "layout", home / "bundle"
    layout.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", layout], check=True)
    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    name = f"{layout}:{manifest['annotations']['org.opencontainers.image.ref.name']}"
    subprocess.run(["umoci", "unpack", "--image", name, bundle], check=True)
    bundle.chmod(0o755)
    yield Image(bundle, home)
    shutil.rmtree(home)


def test_the_user_is_a_number_and_not_root(image: Image) -> None:
    assert image.process["user"] == {"uid": USER, "gid": USER}
    assert image.process["args"] == ["/usr/bin/hashwacht", "--help"]


def test_a_mounted_volume_is_scanned(image: Image) -> None:
    (image.data / "known.jpg").write_bytes(KNOWN)
    (image.data / "harmless.txt").write_text("harmless")
    given = hashlib.sha256(KNOWN).hexdigest().encode()
    result = image.run("lists", "import", "known", "-", "--type", "sha256", given=given)
    assert result.returncode == 0, result.stderr
    result = image.run("scan", "--json", "/srv")
    assert result.returncode == 1, result.stderr
    matches = [json.loads(line) for line in result.stdout.splitlines() if b'"match"' in line]
    assert any(match.get("path") == "/srv/known.jpg" for match in matches)


def test_the_manifests_of_kubernetes_are_valid() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    documents = [*yaml.safe_load_all((PACKAGING / "image/kubernetes.yaml").read_text())]
    assert [document["kind"] for document in documents] == [
        "CronJob",
        "NetworkPolicy",
        "Deployment",
    ]
    for document in documents:
        validate.validate(document, "1.31", strict=True)


def test_the_containers_of_compose_are_confined() -> None:
    compose = yaml.safe_load((PACKAGING / "image/compose.yaml").read_text())
    for name, service in compose["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert (service.get("network_mode") == "none") is (name != "courier")
        sources = {volume.partition(":")[0] for volume in service["volumes"]}
        assert ("uploads" in sources) is (name != "courier")
        assert ("./credentials" in sources) is (name == "courier")
