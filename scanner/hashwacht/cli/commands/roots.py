"""``hashwacht roots``: the directories that are watched, and those of a hosting panel."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import GlobalOptions, global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import ConfigurationError
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text, plural
from hashwacht.daemon.systemd_units import apply_changes
from hashwacht.panels import drop_in
from hashwacht.panels.discovery import PANELS, Discovery, discover
from hashwacht.panels.host import Host
from hashwacht.panels.sites import write_sites
from hashwacht.settings import Configuration, PanelKind
from hashwacht.settings.load import main_file


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht roots discover", "Show the roots and accounts of the hosting panel."),
    ),
)
def roots_command() -> None:
    """Show the roots, and find those of a hosting panel."""


@command(
    Example("hashwacht roots list", "List the directories that the daemon watches."),
    json=True,
    name="list",
)
def list_roots() -> None:
    """List the configured roots, each with the file that it comes from."""
    call = global_options()
    configuration = call.configuration()
    for root in configuration.settings.roots:
        path, origin = os.fsencode(root.directory), str(_origin(configuration, root.name))
        if call.as_json:
            emit("root", {"name": root.name, **to_json(path), "origin": origin})
        else:
            line(f"{root.name:24} {escape_path(path)}  ({escape_text(origin)})")


@command(
    Example("hashwacht roots discover", "Show what would be written."),
    Example("hashwacht roots discover --write", "Write conf.d/50-panel.toml and the account map."),
    Example(
        "hashwacht roots discover --write --reload",
        "Do so, and reload the scanner if the roots have changed, as the timer does.",
    ),
    Example("hashwacht roots discover --sites --json", "List every site with its account."),
    json=True,
    name="discover",
)
@click.option("--write", is_flag=True, help="Write the roots and the map of accounts.")
@click.option(
    "--reload", "reload_units", is_flag=True, help="Reload the scanner if the roots have changed."
)
@click.option("--sites", is_flag=True, help="List all sites: path, account, domain, reseller.")
@click.option(
    "--panel",
    type=click.Choice([panel.name for panel in PANELS]),
    help="Read this panel.  [default: panel.kind in the configuration]",
)
@click.option(
    "--top",
    type=click.Path(file_okay=False, path_type=bytes),
    default=b"/",
    metavar="DIRECTORY",
    help="Read the panel's files below this directory, such as a mounted system.  [default: /]",
)
def discover_roots(
    write: bool, reload_units: bool, sites: bool, panel: str | None, top: bytes
) -> None:
    """Find the accounts of a hosting panel, and the roots that cover their document roots.

    A root is the directory that holds the homes of the accounts, so that a new account is watched
    from its first file.  `--write` writes these roots into conf.d/50-panel.toml, and a map from
    paths to account, domain and reseller into the state directory, so that cases name them.
    """
    call = global_options()
    configuration = call.configuration()
    main = main_file(os.environ, os.geteuid(), call.config)
    file = drop_in.path_of(main)
    settings = configuration.settings.panel
    kind = panel or ("" if settings.kind is PanelKind.AUTO else settings.kind.value)
    discovery = discover(Host(top), kind, _other_roots(configuration, file))
    _print(call, discovery, file, sites=sites)
    if not write:
        if not call.as_json:
            line("Nothing was written; --write does.")
        return
    content = drop_in.render(discovery, settings)
    changed = drop_in.write(file, content, call.configuration)
    try:
        mapped = write_sites(configuration.settings.state.path, discovery.sites)
    except OSError as error:
        raise ConfigurationError(
            f"{configuration.settings.state.path}: {error.strerror}",
            advice="Run the command as the user of the daemon, after its first start.",
        ) from error
    actions = apply_changes(call.configuration().settings) if changed and reload_units else []
    _print_result(call, changed=changed, mapped=mapped, actions=actions)


def _origin(configuration: Configuration, name: str) -> object:
    return configuration.origin(("roots", name))


def _other_roots(configuration: Configuration, file: Path) -> list[bytes]:
    """Return the paths of the roots that other files configure."""
    return [
        os.fsencode(os.path.normpath(root.directory))
        for root in configuration.settings.roots
        if configuration.origin(("roots", root.name)).name != str(file)
    ]


def _print(call: GlobalOptions, discovery: Discovery, file: Path, *, sites: bool) -> None:
    if call.as_json:
        for root in discovery.roots:
            emit("root", {"name": root.name, **to_json(root.path), "exclude": list(root.exclude)})
        for site in discovery.sites if sites else ():
            emit("site", {**to_json(site.path), **site.to_json()})
        for problem in discovery.left_out:
            emit("left-out", {"problem": problem})
        return
    line(
        f"{discovery.panel.title}: {plural(discovery.accounts, 'account')},"
        f" {plural(len(discovery.sites), 'site')}, {plural(len(discovery.roots), 'root')}"
        f" for {escape_text(str(file))}"
    )
    for root in discovery.roots:
        line(f"  {root.name:24} {escape_path(root.path)}")
    for site in discovery.sites if sites else ():
        reseller = f", reseller {site.reseller}" if site.reseller else ""
        domain = f" ({site.domain})" if site.domain else ""
        line(f"  {escape_path(site.path)}  {site.account}{domain}{reseller}")
    for problem in discovery.left_out:
        line(f"  left out: {problem}")


def _print_result(call: GlobalOptions, *, changed: bool, mapped: bool, actions: list[str]) -> None:
    if call.as_json:
        emit("written", {"roots_changed": changed, "sites_changed": mapped, "actions": actions})
        return
    states = {True: "written", False: "unchanged"}
    line(f"Roots {states[changed]}, map of accounts {states[mapped]}.")
    for action in actions:
        line(f"ran {action}")


for subcommand in (list_roots, discover_roots):
    roots_command.add_command(subcommand)
