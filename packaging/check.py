"""Run the checks, and prove that each looked at every file.

A checker that silently skips files is worse than none (an exclude pattern gone wrong once
switched off type checking for almost a whole well-known project), so the number of files each
tool says it saw is compared with what git tracks.

Usage: check.py format|lint|types|layers|audit
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"


def tracked(*under: str, endings: tuple[str, ...] = (".py",)) -> set[str]:
    """Files of the project that git tracks or would track, below these folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *under],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return {name for name in listed if name.endswith(endings) and (ROOT / name).is_file()}


def run(tool: str, *arguments: str) -> str:
    """Run one tool; show what it says and end with its exit code if it objects."""
    done = subprocess.run(
        [BIN / tool, *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        sys.exit(done.returncode)
    return done.stdout


def same(tool: str, seen: int, expected: int) -> None:
    """End the check if a tool saw another number of files than there are."""
    if seen != expected:
        sys.exit(f"{tool} looked at {seen} files, but there are {expected}")
    print(f"{tool}: {seen} files")


def check_format() -> None:
    """Say whether every file is formatted, the Python in Markdown included."""
    said = run("ruff", "format", "--check", ".")
    found = re.search(r"(\d+) files? already formatted", said)
    expected = tracked(".", endings=(".py", ".pyi", ".md"))
    same("ruff format", int(found[1]) if found else 0, len(expected))


def check_lint() -> None:
    """Say whether the linter has no objection."""
    run("ruff", "check", ".")
    listed = run("ruff", "check", "--show-files", ".").split("\n")
    same("ruff check", sum(name.endswith(".py") for name in listed), len(tracked(".")))


def check_types() -> None:
    """Say whether all types are sound, tests included."""
    found = re.search(r"no issues found in (\d+) source files", run("mypy"))
    same("mypy", int(found[1]) if found else 0, len(tracked("scanner", "plugins", "tests")))


def check_layers() -> None:
    """Say whether imports go one way only."""
    import grimp

    run("lint-imports")
    # The tool itself counts other people's packages too; its graph tells them apart.
    graph = grimp.build_graph("hashwacht", "hashwacht_plugins", include_external_packages=True)
    ours = [name for name in graph.modules if not graph.is_module_squashed(name)]
    expected = tracked("scanner/hashwacht", "plugins/hashwacht_plugins")
    same("import-linter", len(ours), len(expected))


def check_audit() -> None:
    """Say whether what we ship with has known vulnerabilities; bear with being offline.

    A service that cannot be reached must not stop anybody's work, but what was not looked up is
    said, because "no vulnerability found" would be a lie.
    """
    lock = ROOT / "packaging" / "locks" / "run.txt"
    options = ["--disable-pip", "--require-hashes", "--format=json", "--progress-spinner=off"]
    try:
        done = subprocess.run(
            [BIN / "pip-audit", "-r", lock, *options, "--timeout=15"],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        found = json.loads(done.stdout)["dependencies"]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"pip-audit: NOT AUDITED, no answer ({type(error).__name__})")
        return
    known = [f"{e['name']} {e['version']}: {v['id']}" for e in found for v in e.get("vulns", ())]
    if known:
        sys.exit("pip-audit: known vulnerabilities\n" + "\n".join(known))
    skipped = sum("skip_reason" in each for each in found)
    unaudited = f", {skipped} NOT AUDITED (the service does not know them)" if skipped else ""
    print(f"pip-audit: {len(found) - skipped} packages without a known vulnerability{unaudited}")


CHECKS = {
    "format": check_format,
    "lint": check_lint,
    "types": check_types,
    "layers": check_layers,
    "audit": check_audit,
}

if __name__ == "__main__":
    for name in sys.argv[1:]:
        CHECKS[name]()
