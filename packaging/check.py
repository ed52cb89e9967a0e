"""Run the checks, and prove that each one saw every file.

A checker that silently skips files is worse than none: a wrong exclude pattern once switched off
type checking for almost all of a well-known project. The number of files that each tool reports
is therefore compared with what git tracks.

Usage: check.py format|lint|types|layers|audit|shape|packages
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"


def tracked(*under: str, endings: tuple[str, ...] = (".py",)) -> set[str]:
    """Return the files below these folders that git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *under],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return {name for name in listing if name.endswith(endings) and (ROOT / name).is_file()}


def run(tool: str, *arguments: str) -> str:
    """Run one tool and return its output; exit with its output and exit code if it fails."""
    process = subprocess.run(
        [BIN / tool, *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if process.returncode:
        sys.stderr.write(process.stdout + process.stderr)
        sys.exit(process.returncode)
    return process.stdout


def require_all_seen(tool: str, seen: int, expected: int) -> None:
    """Exit with an error if a tool saw a different number of files than git tracks."""
    if seen != expected:
        sys.exit(f"{tool} saw {seen} files, but git tracks {expected}")
    print(f"{tool}: {seen} files")


def check_format() -> None:
    """Check that every file is formatted, including the Python code in Markdown."""
    output = run("ruff", "format", "--check", ".")
    match = re.search(r"(\d+) files? already formatted", output)
    expected = tracked(".", endings=(".py", ".pyi", ".md"))
    require_all_seen("ruff format", int(match[1]) if match else 0, len(expected))


def check_lint() -> None:
    """Check that the linter has no complaint."""
    run("ruff", "check", ".")
    listing = run("ruff", "check", "--show-files", ".").split("\n")
    count = sum(name.endswith(".py") for name in listing)
    require_all_seen("ruff check", count, len(tracked(".")))


def check_types() -> None:
    """Check all types, tests included."""
    match = re.search(r"no issues found in (\d+) source files", run("mypy"))
    expected = tracked("scanner", "plugins", "tests")
    require_all_seen("mypy", int(match[1]) if match else 0, len(expected))


def check_layers() -> None:
    """Check the import contracts: layers, forbidden imports, no cycles."""
    import grimp

    run("lint-imports")
    # The tool's own count includes third-party packages; its graph distinguishes them.
    roots = ("hashwacht", "hashwacht_plugins", "hashwacht_hooks")
    graph = grimp.build_graph(*roots, include_external_packages=True)
    modules = [name for name in graph.modules if not graph.is_module_squashed(name)]
    expected = tracked("scanner/hashwacht", "plugins/hashwacht_plugins", "plugins/hashwacht_hooks")
    require_all_seen("import-linter", len(modules), len(expected))


def check_audit() -> None:
    """Check the packages we ship with for known vulnerabilities.

    An unreachable service is no reason to fail, but it is reported: "no vulnerability found"
    would be a false statement.
    """
    lock = ROOT / "packaging" / "locks" / "run.txt"
    options = ["--disable-pip", "--require-hashes", "--format=json", "--progress-spinner=off"]
    try:
        process = subprocess.run(
            [BIN / "pip-audit", "-r", lock, *options, "--timeout=15"],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        packages = json.loads(process.stdout)["dependencies"]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"pip-audit: NOT AUDITED, no answer ({type(error).__name__})")
        return
    vulnerabilities = [
        f"{p['name']} {p['version']}: {v['id']}" for p in packages for v in p.get("vulns", ())
    ]
    if vulnerabilities:
        sys.exit("pip-audit: known vulnerabilities\n" + "\n".join(vulnerabilities))
    skipped = sum("skip_reason" in package for package in packages)
    unaudited = f", {skipped} NOT AUDITED (unknown to the service)" if skipped else ""
    print(f"pip-audit: {len(packages) - skipped} packages, no known vulnerability{unaudited}")


def show_shape() -> None:
    """Print sizes, shared names, second copies and suspicious words, for a reviewer."""
    from shape import report

    print("\n".join(report(ROOT, tracked("scanner", "plugins"))))


def write_packages() -> None:
    """Write the package list of CONTRIBUTING.md, generated from the import contract."""
    document = ROOT / "CONTRIBUTING.md"
    text = document.read_text()
    before, start, rest = text.partition(PACKAGES_BEGIN)
    _, end, after = rest.partition(PACKAGES_END)
    document.write_text(f"{before}{start}\n{package_list()}{end}{after}")


def package_list() -> str:
    """Return the layers of the import contract as a Markdown list, highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    return "".join(f"{number}. {_describe(layer)}\n" for number, layer in enumerate(layers, 1))


def _describe(layer: str) -> str:
    """Return one layer with the first docstring line of each of its packages."""
    parts = []
    for name in layer.split(" | "):
        top = "scanner" if name.startswith("hashwacht.") else "plugins"
        path = ROOT / top / name.replace(".", "/")
        module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
        parts.append(f"`{name.removeprefix('hashwacht.')}`: {docstring.partition(chr(10))[0]}")
    return " ".join(parts)


PACKAGES_BEGIN = "<!-- packages: generated by packaging/check.py packages -->"
PACKAGES_END = "<!-- end of packages -->"

CHECKS = {
    "format": check_format,
    "lint": check_lint,
    "types": check_types,
    "layers": check_layers,
    "audit": check_audit,
    "shape": show_shape,
    "packages": write_packages,
}

if __name__ == "__main__":
    for name in sys.argv[1:]:
        CHECKS[name]()
