"""Build the OCI image from our Debian package: ``build.py DIRECTORY``.

The root file system is a minimal Debian with the package and nothing else that runs; mmdebstrap
makes it, since no base image has to be trusted then, and umoci turns it into an image.  Needs root,
and the package in DIRECTORY (`make packages TARGETS=debian12:amd64`).  The same commit and the same
packages of Debian give the same bytes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hashwacht import __version__

REPOSITORY = Path(__file__).parents[2]
SUITE = "bookworm"
USER = "64640:64640"
"""Numeric, so that `runAsNonRoot` can check it; a name of the host's users has another number."""

ENVIRONMENT = (
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "HOME=/var/lib/hashwacht",
    "XDG_CONFIG_HOME=/etc",
    "XDG_STATE_HOME=/var/lib",
    "XDG_RUNTIME_DIR=/run",
)
WRITABLE = ("/var/lib/hashwacht", "/run/hashwacht", "/run/hashwacht-uploads", "/tmp")  # noqa: S108 - of the image
UNNEEDED = ("/var/cache/*", "/var/lib/apt/*", "/var/log/*", "/usr/share/doc/*", "/usr/share/man/*")


def build(directory: Path) -> Path:
    """Build the image from the package in *directory*; return the archive there."""
    packages = sorted(directory.glob(f"hashwacht_{__version__}-*~deb12_amd64.deb"))
    if not packages:
        sys.exit(
            f"{directory} has no package for Debian 12: run `make packages TARGETS=debian12:amd64`"
        )
    epoch = _output("git", "-C", str(REPOSITORY), "log", "-1", "--format=%ct")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    archive = directory / f"hashwacht_{__version__}_amd64.oci.tar"
    with tempfile.TemporaryDirectory() as temporary:
        layer, layout = Path(temporary, "layer.tar"), Path(temporary, "layout")
        _make_root(packages[-1], layer, environment)
        _make_image(layer, layout, epoch)
        names = sorted(str(path.relative_to(layout)) for path in layout.rglob("*"))
        subprocess.run(
            [
                *("tar", "--create", "--file", archive, "--directory", layout, "--no-recursion"),
                *(f"--mtime=@{epoch}", "--owner=0:0", "--numeric-owner", *names),
            ],
            check=True,
        )
    return archive


def _make_root(package: Path, layer: Path, environment: dict[str, str]) -> None:
    """Write the root file system, with what the package depends on, as a tar file."""
    depends = _output("dpkg-deb", "--field", str(package), "Depends")
    included = [field.split()[0] for field in depends.split(",")]
    writable = " ".join(f'"$1"{path}' for path in WRITABLE[:-1])
    hooks = (
        f'copy-in "{package}" /var/tmp',
        'chroot "$1" sh -c "dpkg --install /var/tmp/*.deb && rm /var/tmp/*.deb"',
        f"mkdir -p {writable} && chown {USER} {writable} && chmod 0700 {writable}",
        " ".join(("rm -rf", *(f'"$1"{path}' for path in UNNEEDED))),
    )
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=essential",
            f"--include={','.join((*included, 'ca-certificates'))}",
            *(f"--customize-hook={hook}" for hook in hooks),
            SUITE,
            layer,
        ],
        check=True,
        env=environment,
    )


def _make_image(layer: Path, layout: Path, epoch: str) -> None:
    """Make an OCI layout with one image of one layer."""
    image = f"{layout}:{__version__}"
    created = f"--history.created={_output('date', '--utc', f'--date=@{epoch}', '+%FT%TZ')}"
    _output("umoci", "init", "--layout", str(layout))
    _output("umoci", "new", "--image", image)
    _output("umoci", "raw", "add-layer", "--image", image, created, str(layer))
    _output(
        "umoci",
        "config",
        f"--image={image}",
        created,
        created.replace("history.created", "created"),
        f"--config.user={USER}",
        "--config.entrypoint=/usr/bin/hashwacht",
        "--config.cmd=--help",
        "--config.stopsignal=SIGTERM",
        "--config.workingdir=/",
        "--config.volume=/var/lib/hashwacht",
        *(f"--config.env={variable}" for variable in ENVIRONMENT),
        "--config.label=org.opencontainers.image.title=hashwacht",
        f"--config.label=org.opencontainers.image.version={__version__}",
        "--config.label=org.opencontainers.image.licenses=Apache-2.0",
        "--author=The Hashwacht authors",
    )
    _output("umoci", "gc", "--layout", str(layout))


def _output(*command: str) -> str:
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return process.stdout.strip()


def main() -> None:
    """Build the image into the directory that the command line names."""
    missing = [name for name in ("mmdebstrap", "umoci") if shutil.which(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (apt-get install {' '.join(missing)})")
    print(build(Path(sys.argv[1]).resolve()))


if __name__ == "__main__":
    main()
