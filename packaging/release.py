"""Make a release: ``release.py VERSION``.

Dates the entries of "Unreleased" in CHANGELOG.md, sets the version, commits both and tags the
commit, signed if git is configured to sign (``tag.gpgSign``).  Nothing is pushed or uploaded.
Afterwards `make dist` builds the wheel and the sdist, `make packages` deb and rpm.
"""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

REPOSITORY = Path(__file__).resolve().parents[1]
CHANGELOG = Path("CHANGELOG.md")
VERSION_FILE = Path("scanner/hashwacht/__init__.py")

UNRELEASED = "## Unreleased\n"
_VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_BRANCH = "main"


class ReleaseError(Exception):
    """Why no release can be made, in one sentence."""


def git(repository: Path, *arguments: str) -> str:
    """Run git and return its output without the last line feed.  Raises ReleaseError."""
    process = subprocess.run(
        ["git", *arguments], cwd=repository, check=False, capture_output=True, text=True
    )
    if process.returncode:
        raise ReleaseError(
            f"git {arguments[0]}: {process.stderr.strip() or process.stdout.strip()}"
        )
    return process.stdout.rstrip("\n")


def date_changes(changelog: str, version: Version, date: dt.date) -> str:
    """Return the changelog with the unreleased entries under *version*, and none unreleased.

    Raises ReleaseError if there are none.
    """
    before, heading, after = changelog.partition(UNRELEASED)
    entries = after.partition("\n## ")[0]
    if not heading or "\n- " not in entries:
        raise ReleaseError(f"{CHANGELOG} has no entry under Unreleased: describe the changes there")
    return f"{before}{UNRELEASED}\n## {version} - {date.isoformat()}\n{after}"


def set_version(source: str, version: Version) -> str:
    """Return the source with another version.  Raises ReleaseError unless it is a later one."""
    match = _VERSION.search(source)
    if match is None:
        raise ReleaseError(f"{VERSION_FILE} has no __version__")
    if version < Version(match[1]):
        raise ReleaseError(f"{version} is earlier than {match[1]}: choose a later version")
    return source[: match.start(1)] + str(version) + source[match.end(1) :]


def release(repository: Path, text: str, date: dt.date) -> str:
    """Commit and tag the release *text*; return the name of the tag.  Raises ReleaseError."""
    try:
        version = Version(text)
    except InvalidVersion:
        raise ReleaseError(f"{text!r} is no version: use one like 0.2.0 or 1.0.0rc1") from None
    tag = f"v{version}"
    if git(repository, "status", "--porcelain"):
        raise ReleaseError("the working tree has changes: commit or remove them first")
    if (branch := git(repository, "branch", "--show-current")) != _BRANCH:
        raise ReleaseError(f"the branch is {branch or 'none'}: releases are made on {_BRANCH}")
    if git(repository, "tag", "--list", tag):
        raise ReleaseError(f"the tag {tag} exists: choose a later version")
    changelog, source = repository / CHANGELOG, repository / VERSION_FILE
    dated = date_changes(changelog.read_text("utf-8"), version, date)
    versioned = set_version(source.read_text("utf-8"), version)
    changelog.write_text(dated, "utf-8")
    source.write_text(versioned, "utf-8")
    git(
        repository,
        "commit",
        "--quiet",
        "-m",
        f"Release {version}",
        "--",
        *map(str, (CHANGELOG, VERSION_FILE)),
    )
    git(repository, "tag", "--annotate", "-m", f"Hashwacht {version}", tag)
    return tag


def main() -> None:
    """Make the release that the command line names."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the version
        sys.exit("usage: make release VERSION=0.2.0")
    try:
        tag = release(REPOSITORY, sys.argv[1], dt.datetime.now(dt.UTC).date())
    except ReleaseError as error:
        sys.exit(f"no release: {error}")
    print(
        f"committed and tagged {tag}; next: make check dist packages, then git push --follow-tags"
    )


if __name__ == "__main__":
    main()
