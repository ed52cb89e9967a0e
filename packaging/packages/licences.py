"""Print the copyright file of a package: ``licences.py SITE-PACKAGES``.

It lists our licence, the licence that each bundled package declares, and the libraries that
packages bring along.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

HEAD = """\
Copyright 2026 The Hashwacht authors

Hashwacht is licensed under the Apache License, version 2.0; on Debian the text is in
/usr/share/common-licenses/Apache-2.0, elsewhere at https://www.apache.org/licenses/.

The package as a whole is under the GNU General Public License, version 3: the decoders of HEIC
and JPEG XL, which are loaded as Python packages, contain parts under that licence.

Bundled packages; the texts of their licences are in NAME-VERSION.dist-info below
/usr/lib/hashwacht/lib:
"""

KNOWN_LICENCES = {"pyrage": "MIT", "httpx-aiohttp": "BSD-3-Clause"}
"""Licences of packages whose metadata has no name of it, by their licence files."""

LIBRARY = re.compile(r"^Files: (?:\S*/)?(lib\w+)", re.MULTILINE)
LIBRARY_LICENCE = re.compile(r"^License: (.+)", re.MULTILINE)
"""Lines of the entry of a library, which begins with ``Name:``."""


def main(packages: Path) -> None:
    """Print the file for the packages installed in a directory."""
    print(HEAD)
    bundled = distributions(path=[str(packages)])
    print(*sorted(map(licence, bundled), key=str.casefold), sep="\n")
    print("\nLibraries inside of these:\n")
    print(*libraries(packages), sep="\n")


def licence(package: Distribution) -> str:
    """Return name, version and licence of a package; exit if it declares none."""
    metadata = package.metadata
    classifiers = metadata.get_all("Classifier") or []
    declared = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License ::")]
    expression, text = metadata.get("License-Expression"), metadata.get("License", "")
    known = KNOWN_LICENCES.get(package.name)
    name = expression or known or ", ".join(declared) or text.partition("\n")[0]
    if not name:
        sys.exit(f"{package.name} declares no licence: add it to KNOWN_LICENCES")
    return f"{package.name} {package.version}: {name}"


def libraries(packages: Path) -> Iterable[str]:
    """Yield the libraries of each package that brings any, with the licences that it declares."""
    for directory in sorted(packages.glob("*.libs")):
        (information,) = packages.glob(f"{directory.stem}-[0-9]*.dist-info")
        licences = defaultdict[str, list[str]](list)
        for name, text in library_licences(information):
            licences[name].append(text)
        for name in sorted({library_name(path) for path in directory.iterdir()}):
            yield f"{directory.stem}: {name} {' AND '.join(licences[name])}".rstrip()


def library_name(path: Path) -> str:
    """Return the name of a library without the digest that the wheel added."""
    return path.name.partition("-")[0].removesuffix("64_")


def library_licences(information: Path) -> Iterable[tuple[str, str]]:
    """Yield name and licence of each library that the licence files of a package list."""
    for path in information.glob("licenses/*"):
        for entry in path.read_text().split("\nName: ")[1:] if path.is_file() else ():
            library, name = LIBRARY.search(entry), LIBRARY_LICENCE.search(entry)
            if library and name:
                yield library[1], name[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
