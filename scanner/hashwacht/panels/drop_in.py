"""The drop-in with the roots of a panel: the same discovery gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hashwacht.core.errors import ConfigurationError
from hashwacht.panels.discovery import Discovery, PanelRoot
from hashwacht.platform import atomic
from hashwacht.settings.files import drop_in_directory
from hashwacht.settings.roots import PanelSettings
from hashwacht.settings.show import toml

FILE_NAME = "50-panel.toml"

MARKER = "# Written by `hashwacht roots discover --write`."
"""The first line; a file without it was not written by this command."""

_HEAD = """\
{marker} Changes are overwritten.
# Panel: {panel}. Actions and exclusions of these roots: [panel] in the configuration.
"""


def path_of(main: Path) -> Path:
    """Return the path of the drop-in that belongs to a main file."""
    return drop_in_directory(main) / FILE_NAME


def render(discovery: Discovery, settings: PanelSettings) -> str:
    """Return the content of the drop-in."""
    head = _HEAD.format(marker=MARKER, panel=discovery.panel.title)
    tables = ("\n".join(_table(root, settings)) for root in discovery.roots)
    return "\n".join([head, *(f"{table}\n" for table in tables)])


def _table(root: PanelRoot, settings: PanelSettings) -> Iterator[str]:
    yield f"[roots.{root.name}]"
    yield f"path = {toml(root.path.decode())}"
    yield f"on_exact_match = {toml(settings.on_exact_match.value)}"
    yield f"on_similar_match = {toml(settings.on_similar_match.value)}"
    yield f"on_undetermined = {toml(settings.on_undetermined.value)}"
    yield f"exclude = {toml([*root.exclude, *settings.exclude])}"


def write(path: Path, content: str, check: Callable[[], object]) -> bool:
    """Replace the drop-in; return whether it has changed.

    *check* loads the configuration: if that raises, the former content is restored.  Raises
    ConfigurationError if the file is not ours or cannot be written.
    """
    try:
        former = path.read_text(encoding="utf-8") if path.exists() else None
        if former == content:
            return False
        if former is not None and not former.startswith(MARKER):
            raise ConfigurationError(
                f"{path} was not written by this command",
                advice="Move it to another name; this command overwrites only its own file.",
            )
        path.parent.mkdir(mode=0o755, exist_ok=True)
        atomic.write(path, content.encode(), mode=0o644)
        try:
            check()
        except ConfigurationError:
            if former is None:
                atomic.remove(path)
            else:
                atomic.write(path, former.encode(), mode=0o644)
            raise
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(
            f"{path}: {problem}", advice="Run the command as root, and check the file system."
        ) from error
    return True
