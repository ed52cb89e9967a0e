"""``hashwacht doctor``: check the installation, and advise on each problem.

Nothing is changed; matchers only receive a harmless test query.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from hashwacht import bootstrap
from hashwacht.cli.case_session import existing_store
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.gateway_checks import check_gateway
from hashwacht.cli.options import global_options
from hashwacht.cli.output import print_diagnostic, print_text
from hashwacht.cli.upload_program_checks import check_upload_programs
from hashwacht.cli.worker_checks import check_workers
from hashwacht.core.errors import ExitCode, HashwachtError
from hashwacht.core.paths import escape_path
from hashwacht.core.text import escape_text, format_age, plural
from hashwacht.core.types import Diagnostic
from hashwacht.matching.hashlists.update_state import list_ages
from hashwacht.secrets import locate_credential
from hashwacht.settings import Configuration, HashlistSettings, Settings
from hashwacht.settings.files import write_problem
from hashwacht.settings.units import duration_to_text, size_to_text
from hashwacht.storage.runs import RunState

GIB = 1 << 30

MIN_FREE_SPACE = GIB
"""Free space for the state below which a scan of millions of files may fail half-way."""


@command(
    Example("hashwacht doctor", "Check everything, with a harmless query to each matcher."),
    Example("hashwacht doctor --json | jq 'select(.ok | not)'", "List only the problems."),
    json=True,
    exit_status={ExitCode.OK: "No problem was found.", ExitCode.ERROR: "A check failed."},
)
def doctor_command() -> ExitCode:
    """Check configuration, permissions, limits, lists, matchers and decoders.

    Each matcher receives one harmless query.  Every problem is printed with advice; the exit code
    is then 2.
    """
    problems = 0
    for diagnostic in run_checks(global_options().configuration(), os.environ):
        problems += not diagnostic.ok
        print_diagnostic(diagnostic)
    print_text("", f"{problems} failed." if problems else "All checks passed.")
    return ExitCode.ERROR if problems else ExitCode.OK


def run_checks(
    configuration: Configuration, environment: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """Run all checks, in the order in which a scan depends on them."""
    settings = configuration.settings
    yield _files(configuration)
    yield from _state(settings)
    yield from _evidence(settings)
    yield from _holds(settings)
    yield from _watching(settings)
    yield from _units(settings)
    yield from _limits(settings)
    yield from _lists(settings)
    yield from _credentials(settings, environment)
    yield from _matchers(settings, environment)
    yield from _uploads(settings)
    yield from check_gateway(settings)
    yield from check_upload_programs()
    yield from check_workers(settings)


def _files(configuration: Configuration) -> Diagnostic:
    """Check that no other user can change the main file; loading has checked the drop-ins."""
    file, advice = configuration.file, ""
    detail = ", ".join(map(str, configuration.files)) or "no file, defaults only"
    problem = write_problem(file.stat(), {0, os.geteuid()}) if file else ""
    if problem:
        detail = f"{file}: {problem}, and a configuration names programs that are run"
        advice = f"Run `chown root {file} && chmod go-w {file}`."
    return Diagnostic("configuration", ok=not problem, detail=detail, advice=advice)


def _state(settings: Settings) -> Iterator[Diagnostic]:
    """Check that the state directory is writable and private and has free space."""
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
        advice=f"Run `chmod 700 {path}`: signals and lists are secret." if mode & 0o077 else "",
    )
    free = shutil.disk_usage(path).free
    yield Diagnostic(
        "space",
        ok=free >= MIN_FREE_SPACE,
        detail=f"{free / GIB:.1f} GiB free for the state",
        advice="" if free >= MIN_FREE_SPACE else "Free space, or move the state to a larger disk.",
    )
    for run in interrupted[:1]:
        detail = f"run {run.id} was interrupted; run the same command again to resume it"
        yield Diagnostic("runs", ok=True, detail=detail)


def _evidence(settings: Settings) -> Iterator[Diagnostic]:
    """Check the audit log, and that cases, files and vault are as it records."""
    audit = bootstrap.audit_log(settings)
    try:
        broken = audit.verify()
        with existing_store() as store:
            findings = bootstrap.evidence_check(settings, store).run()
        entries = audit.head().seq
    except HashwachtError as error:
        yield Diagnostic("evidence", ok=False, detail=error.message, advice=error.advice)
        return
    problems = [str(finding) for finding in findings]
    if broken is not None:
        problems.insert(0, f"the audit log is broken at line {broken.line}: {broken.problem}")
    detail = f"audit log of {plural(entries, 'entry', 'entries')}, as the cases and the vault are"
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        detail = escape_text(problems[0]) + more
    yield Diagnostic("evidence", ok=not problems, detail=detail, advice=_evidence_advice(problems))


def _holds(settings: Settings) -> Iterator[Diagnostic]:
    """Report held files that their owners can serve again."""
    undoable = [*bootstrap.file_holder(settings).find_undoable()]
    if undoable:
        detail = f"{plural(len(undoable), 'held file')} can be served again by the owner, such as"
        yield Diagnostic(
            "holds",
            ok=False,
            detail=f"{detail} {escape_path(undoable[0].path)}",
            advice="Run the daemon as root with CAP_CHOWN (`make install-systemd`). It takes a file"
            " from its owner when it is held the next time.",
        )


def _watching(settings: Settings) -> Iterator[Diagnostic]:
    """Report within what time changes are noticed that the kernel does not announce."""
    if settings.roots:
        compared = duration_to_text(settings.daemon.rescan_interval)
        interval = settings.scan.reread_interval
        reread = f"within {duration_to_text(interval)}" if interval else "never"
        yield Diagnostic(
            "unannounced changes",
            ok=True,
            detail=f"roots are compared every {compared} or less often if that takes long,"
            f" unchanged files are read again {reread} (docs/limits.md)",
        )


def _evidence_advice(problems: list[str]) -> str:
    if not problems:
        return ""
    return (
        "Run `hashwacht audit verify`. An older copy was restored, or something was removed or"
        " changed: find out which, then `hashwacht audit accept --reason ...`."
    )


def _units(settings: Settings) -> Iterator[Diagnostic]:
    """Compare the drop-ins with the configuration if the systemd units are installed."""
    from hashwacht.daemon.systemd_units import (
        APPLY,
        UNINSTALL,
        installed_units,
        outdated_drop_ins,
    )

    if not (units := installed_units()):
        return
    if hidden := units[1:]:
        detail = f"{units[0]} hides {', '.join(map(str, hidden))}"
        yield Diagnostic("systemd units", ok=False, detail=detail, advice=UNINSTALL)
    outdated = ", ".join(map(str, outdated_drop_ins(settings)))
    detail = f"they do not fit the configuration: {outdated}" if outdated else "up to date"
    yield Diagnostic("systemd units", ok=not outdated, detail=detail, advice=APPLY)


def _limits(settings: Settings) -> Iterator[Diagnostic]:
    jobs = bootstrap.jobs(settings)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 128 + 16 * jobs
    yield Diagnostic(
        "open files",
        ok=soft >= needed,
        detail=f"limit {soft}, {needed} needed for {jobs} jobs",
        advice="" if soft >= needed else "Raise the limit (`ulimit -n`), or reduce scan.jobs.",
    )
    import psutil

    available = psutil.virtual_memory().available
    wanted = jobs * settings.fingerprint.limits.max_memory
    yield Diagnostic(
        "memory",
        ok=available >= wanted,
        detail=f"{available / GIB:.1f} GiB available; {jobs} workers may use"
        f" up to {size_to_text(wanted)}",
        advice="" if available >= wanted else "Reduce scan.jobs or fingerprint.limits.max_memory.",
    )


def _lists(settings: Settings) -> Iterator[Diagnostic]:
    """Verify the hash lists, if a matcher uses them."""
    if not any(isinstance(matcher, HashlistSettings) for matcher in settings.matchers):
        return
    lists = bootstrap.hash_lists(settings)
    try:
        installed = lists.all()
        yield from lists.verify()
        yield from _stale_lists(settings)
    except HashwachtError as error:
        yield Diagnostic("lists", ok=False, detail=error.message, advice=error.advice)
        return
    if all(hash_list.known_good for hash_list in installed):
        yield Diagnostic(
            "lists",
            ok=False,
            detail="no hash list is installed, so nothing can match",
            advice="Run `hashwacht lists import NAME FILE`, or configure a matching service.",
        )


def _stale_lists(settings: Settings) -> Iterator[Diagnostic]:
    """Report each list with a source: current or stale."""
    now = time.time()
    for age in list_ages(bootstrap.lists_directory(settings), settings.lists):
        if age.max_age is not None:
            reason = age.stale_reason(now)
            current = f"up to date {format_age(age.record.succeeded_at or age.imported_at, now)}"
            advice = f"Run `hashwacht lists update {age.name}`." if reason else ""
            detail = f"stale: {reason}" if reason else current
            yield Diagnostic(f"list {age.name}", ok=not reason, detail=detail, advice=advice)


def _credentials(settings: Settings, environment: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Locate each credential; the first source that has it is used."""
    sources = bootstrap.secret_sources(settings, environment)
    for matcher in settings.matchers:
        name = "" if isinstance(matcher, HashlistSettings) else matcher.credentials
        if not name:
            continue
        subject = f"credentials {name}"
        statuses = locate_credential(name, sources)
        if not statuses:
            advice = f"Run `hashwacht credentials set {name}`."
            yield Diagnostic(subject, ok=False, detail="not found in any source", advice=advice)
        for position, status in enumerate(statuses):
            where = f"{status.source}: {status.location}" + (" (shadowed)" if position else "")
            detail = f"{where}: {status.problem}" if status.problem else where
            yield Diagnostic(subject, ok=not status.problem, detail=detail, advice=status.advice)


def _matchers(settings: Settings, environment: Mapping[str, str]) -> Iterator[Diagnostic]:
    """Query each matcher, and compare the signal types that it accepts with those computed."""
    try:
        matchers = bootstrap.matcher_set(settings, environment)
    except HashwachtError as error:
        yield Diagnostic("matchers", ok=False, detail=error.message, advice=error.advice)
        return
    with matchers:
        for configured in matchers.matchers:
            yield configured.matcher.check()
        computed = set(bootstrap.plan(settings, matchers.accepts).types)
        for lacking in sorted(matchers.accepts - computed):
            yield Diagnostic(
                "signal types",
                ok=False,
                detail=f"a matcher accepts {lacking}, which is not computed here",
                advice="Install the package that computes it, or set fingerprint.commands.",
            )
        if not matchers.accepts & {"md5", "sha1", "sha256"}:
            yield Diagnostic(
                "signal types",
                ok=False,
                detail="no matcher accepts digests, so all files but pictures stay undetermined",
                advice="Also configure a matcher for md5, sha1 or sha256.",
            )


def _uploads(settings: Settings) -> Iterator[Diagnostic]:
    """Check that the daemon accepts uploads; report applications that upload files in parts."""
    if settings.accepts_uploads:
        yield _by_daemon(settings)
    for upload in bootstrap.partial_uploads(settings).load():
        day = datetime.fromtimestamp(upload.at, UTC).date()
        yield Diagnostic(
            "uploads",
            ok=True,
            detail=f"a web application received a file in parts ({upload.protocol}, {day}); parts"
            " never match, so it must pass each complete file to Checker.scan_file",
        )


def _by_daemon(settings: Settings) -> Diagnostic:
    """Query the daemon over its upload socket, as a web application does."""
    from hashwacht.uploads.remote import DaemonBackend, DaemonUnreachable

    path = settings.uploads.path
    try:
        daemon = DaemonBackend(path).describe()
    except DaemonUnreachable as error:
        advice = (
            "Run `hashwacht units --write && systemctl daemon-reload && systemctl restart"
            " hashwacht.target`, or `hashwacht daemon`; uploads.group sets which users may connect."
        )
        return Diagnostic("uploads", ok=False, detail=f"{path}: {error.detail}", advice=advice)
    detail = (
        f"the daemon ({daemon.release}) accepts uploads at {path}, up to"
        f" {size_to_text(daemon.max_size)}"
    )
    return Diagnostic("uploads", ok=True, detail=detail)
