"""Is everything set up well?  Each look gives findings, and each of them says what to do next.

Nothing is changed, and matchers are asked only what nobody can know.
"""

from __future__ import annotations

import io
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hashwacht import bootstrap
from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Fingerprinter
from hashwacht.core.types import Diagnostic, Fingerprint, Skip
from hashwacht.secrets import locate_credential
from hashwacht.settings import Configuration, HashlistSettings, Settings, UploadMode
from hashwacht.settings.units import size_to_text
from hashwacht.storage.runs import RunState

if TYPE_CHECKING:
    from hashwacht.hashing.workers.pool import WorkerPool

GIB = 1 << 30

MIN_FREE_SPACE = GIB
"""Below this much free space for the state a scan of millions of files may stop half-way."""

TEST_FORMATS = ("jpeg", "png", "gif", "webp", "avif", "tiff", "bmp")
"""What every installation decodes; HEIC is an extra."""


def run_checks(
    configuration: Configuration, environment: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """Look at everything, in the order in which a scan would need it."""
    settings = configuration.settings
    file = str(configuration.file) if configuration.file else "no file, defaults only"
    yield Diagnostic("configuration", ok=True, detail=file)
    yield from _state(settings)
    yield from _limits(settings)
    yield from _lists(settings)
    yield from _credentials(settings, environment)
    yield from _matchers(settings, environment)
    yield from _uploads(settings)
    yield from _workers(settings)


def _state(settings: Settings) -> Iterator[Diagnostic]:
    """Look at the state directory: can it be written, is it private, is there room."""
    path = settings.state.path
    try:
        with bootstrap.store(settings) as store:
            interrupted = [
                r for r in store.runs.load_latest(100) if r.state is RunState.INTERRUPTED
            ]
    except HashwachtError as error:
        yield Diagnostic("state", ok=False, detail=error.message, advice=error.advice)
        return
    mode = path.stat().st_mode & 0o777
    yield Diagnostic(
        "state",
        ok=not mode & 0o077,
        detail=f"{path}, mode {mode:04o}",
        advice=f"Run `chmod 700 {path}`: signals and lists are secrets." if mode & 0o077 else "",
    )
    free = shutil.disk_usage(path).free
    yield Diagnostic(
        "space",
        ok=free >= MIN_FREE_SPACE,
        detail=f"{free / GIB:.1f} GiB free for the state",
        advice="" if free >= MIN_FREE_SPACE else "Make room, or move the state to a larger disk.",
    )
    for run in interrupted[:1]:
        detail = f"run {run.id} was interrupted; the same command goes on with it"
        yield Diagnostic("runs", ok=True, detail=detail)


def _limits(settings: Settings) -> Iterator[Diagnostic]:
    """Look at open files and memory."""
    jobs = bootstrap.jobs(settings)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 128 + 16 * jobs
    yield Diagnostic(
        "open files",
        ok=soft >= needed,
        detail=f"limit {soft}, {needed} are needed for {jobs} jobs",
        advice="" if soft >= needed else "Raise it (`ulimit -n`), or use fewer jobs.",
    )
    import psutil

    available = psutil.virtual_memory().available
    wanted = jobs * settings.fingerprint.limits.max_memory
    yield Diagnostic(
        "memory",
        ok=available >= wanted,
        detail=f"{available / GIB:.1f} GiB available; {jobs} workers may use"
        f" {size_to_text(wanted)} at the worst",
        advice=""
        if available >= wanted
        else "Use fewer jobs, or lower fingerprint.limits.max_memory.",
    )


def _lists(settings: Settings) -> Iterator[Diagnostic]:
    """Look at the hash lists, if some matcher answers from them."""
    if not any(isinstance(each, HashlistSettings) for each in settings.matchers):
        return
    lists = bootstrap.hash_lists(settings)
    try:
        installed = lists.all()
        yield from lists.verify()
    except HashwachtError as error:
        yield Diagnostic("lists", ok=False, detail=error.message, advice=error.advice)
        return
    if all(each.known_good for each in installed):
        yield Diagnostic(
            "lists",
            ok=False,
            detail="no hash list is installed, so nothing can match",
            advice="Run `hashwacht lists import NAME FILE`, or configure a service instead.",
        )


def _credentials(settings: Settings, environment: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Look where each credential lies; the first place counts."""
    places = bootstrap.secret_sources(settings, environment)
    for matcher in settings.matchers:
        name = "" if isinstance(matcher, HashlistSettings) else matcher.credentials
        if not name:
            continue
        subject = f"credentials {name}"
        seen = locate_credential(name, places)
        if not seen:
            advice = f"Run `hashwacht credentials set {name}`."
            yield Diagnostic(subject, ok=False, detail="not found anywhere", advice=advice)
        for position, each in enumerate(seen):
            where = f"{each.source}: {each.location}" + (" (shadowed)" if position else "")
            detail = f"{where}: {each.problem}" if each.problem else where
            yield Diagnostic(subject, ok=not each.problem, detail=detail, advice=each.advice)


def _matchers(settings: Settings, environment: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Ask each matcher a harmless question, and see who takes what we can compute."""
    try:
        panel = bootstrap.matcher_set(settings, environment)
    except HashwachtError as error:
        yield Diagnostic("matchers", ok=False, detail=error.message, advice=error.advice)
        return
    with panel:
        for configured in panel.matchers:
            yield configured.matcher.check()
        computed = set(bootstrap.plan(settings, panel.accepts).types)
        for lacking in sorted(panel.accepts - computed):
            yield Diagnostic(
                "signal types",
                ok=False,
                detail=f"a matcher takes {lacking}, which nothing here computes",
                advice="Install the package that does, or name a program in fingerprint.commands.",
            )
        if not panel.accepts & {"md5", "sha1", "sha256"}:
            yield Diagnostic(
                "signal types",
                ok=False,
                detail="no matcher takes a digest: whatever is no picture stays undetermined",
                advice="Configure a matcher for md5, sha1 or sha256 as well.",
            )


def _uploads(settings: Settings) -> Iterator[Diagnostic]:
    """Check that the daemon accepts uploads; report uploads that arrive in parts."""
    if settings.uploads.mode is UploadMode.DAEMON:
        yield _by_daemon(settings)
    for each in bootstrap.partial_uploads(settings).load():
        day = datetime.fromtimestamp(each.at, UTC).date()
        yield Diagnostic(
            "uploads",
            ok=True,
            detail=f"files come in parts to a web application ({each.protocol}, {day}): no list"
            " knows parts, so its finish step must give the whole file to Checker.scan_file",
        )


def _by_daemon(settings: Settings) -> Diagnostic:
    """Ask the daemon, as a web application would, if it takes uploads from this user."""
    from hashwacht.uploads.remote import DaemonBackend, DaemonUnreachable

    path = settings.uploads.path
    try:
        found = DaemonBackend(path).describe()
    except DaemonUnreachable as error:
        advice = (
            "Run `hashwacht units --write && systemctl daemon-reload && systemctl restart"
            " hashwacht.target`, or `hashwacht daemon`; who may connect says uploads.group."
        )
        return Diagnostic("uploads", ok=False, detail=f"{path}: {error.detail}", advice=advice)
    detail = (
        f"the daemon ({found.release}) takes them at {path}, up to {size_to_text(found.max_size)}"
    )
    return Diagnostic("uploads", ok=True, detail=detail)


def _workers(settings: Settings) -> Iterator[Diagnostic]:
    """Start a worker and have it decode one generated picture of every format."""
    try:
        fingerprinter = bootstrap.fingerprinter(settings, ("sha256", "pdq"))
    except HashwachtError as error:
        yield Diagnostic("workers", ok=False, detail=error.message, advice=error.advice)
        return
    try:
        yield from _sandbox(fingerprinter)
        for name in TEST_FORMATS:
            yield _decoder(fingerprinter, name, _sample(name))
    finally:
        fingerprinter.close()


def _sample(name: str) -> bytes:
    """Return a small generated picture in one format."""
    from PIL import Image

    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, name)
    return file.getvalue()


def _sandbox(pool: WorkerPool) -> Iterator[Diagnostic]:
    """Report which sandbox layers are active around a decoder."""
    try:
        layers = pool.layers
    except HashwachtError as error:
        yield Diagnostic("sandbox", ok=False, detail=error.message, advice=error.advice)
        return
    for name, problem in layers.items():
        yield Diagnostic(
            f"sandbox {name}",
            ok=not problem,
            detail=problem or "active around every process that decodes",
            advice=_SANDBOX_ADVICE if problem else "",
        )


_SANDBOX_ADVICE = (
    "Run a kernel that has it (Landlock: 5.13 and listed in /sys/kernel/security/lsm; containers"
    " must allow its system calls), or keep to limits and separate processes."
)


def _decoder(fingerprinter: Fingerprinter, name: str, content: bytes) -> Diagnostic:
    """Have one picture decoded."""
    subject = f"decoder {name}"
    advice = "Install Hashwacht's dependencies anew (`pip install --force-reinstall pillow`)."
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            found = fingerprinter.fingerprint(file.fileno())
        except (OSError, HashwachtError) as error:
            return Diagnostic(subject, ok=False, detail=str(error), advice=advice)
    problem = _problem(found)
    if problem:
        detail = f"{problem.reason}: {problem.detail}"
        return Diagnostic(subject, ok=False, detail=detail, advice=advice)
    return Diagnostic(subject, ok=True, detail=f"{found.kind}, in a worker process")


def _problem(found: Fingerprint) -> Skip | None:
    return next((skip for skip in found.skipped if skip.reason.undetermined), None)
