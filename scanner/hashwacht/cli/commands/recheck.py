"""``hashwacht recheck``: ask again with what is stored; no disk is read."""

from __future__ import annotations

import os

from hashwacht import bootstrap
from hashwacht.cli.case_session import invoking_user
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.render.case_text import UploadContextObserver
from hashwacht.cli.render.progress_lines import observer
from hashwacht.cli.signals import exit_code, stop_on_signal
from hashwacht.core.errors import ExitCode
from hashwacht.platform.process import lower_priority
from hashwacht.scan.recheck_run import Recheck


@command(
    Example("hashwacht recheck", "After importing a list, or nightly from a timer."),
    Example("hashwacht recheck --json", "Give every finding to a program."),
    json=True,
)
def recheck_command() -> ExitCode:
    """Look up stored fingerprints again; no disk is read.

    That is: undetermined ones, ones older than the matcher's recheck_after, and everything that
    a newly imported list or newly configured matcher has never seen.  The storage is not
    touched and may be unmounted; a new match is told with the paths that held the content when
    they were last scanned, and with what a web application told when it was uploaded; each of these
    becomes a case.
    """
    call = global_options()
    settings = call.configuration().settings
    uploads = bootstrap.upload_contexts(settings)
    if settings.scan.low_priority:
        lower_priority()
    with (
        bootstrap.store(settings) as store,
        bootstrap.matcher_set(settings, os.environ) as panel,
        stop_on_signal() as stop,
        observer(as_json=call.as_json) as watching,
    ):
        telling = UploadContextObserver(watching, uploads, call.as_json)
        summary = Recheck(store=store, matcher_set=panel, observer=telling, stop=stop).run()
        bootstrap.case_services(settings, store, invoking_user()).upload_cases().open_all()
    telling.print_contexts()
    return exit_code(summary)
