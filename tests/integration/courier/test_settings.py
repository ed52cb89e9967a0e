"""The description of a service without a request to it, and roots from the command line."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.daemon.scanner.roots import command_line_roots
from hashwacht.matching.services.service_matchers import (
    AnyService,
    build_courier_matcher,
    build_service_matcher,
)
from hashwacht.secrets import Credential, SecretSources, store_credential
from hashwacht.settings import (
    ArachnidSettings,
    EokmSettings,
    HmaSettings,
    RootSettings,
    load,
)


@pytest.mark.parametrize(
    "service",
    [
        EokmSettings("eokm", signal_types=(("sha1", "sha1"), ("md5", "MD5"))),
        EokmSettings("eokm", use_test_list=True),
        HmaSettings("hma"),
        HmaSettings("hma", banks=("B", "A"), category="x", categories=(("B", "y"), ("A", "z"))),
        ArachnidSettings("shield"),
    ],
)
def test_a_scan_and_the_daemon_share_answers(service: AnyService, tmp_path: Path) -> None:
    """Name, types and revision are the same for both."""
    places = SecretSources(tmp_path / "credentials")
    for name in ("eokm", "arachnid"):
        store_credential(name, Credential("user", "password"), places)
    through = build_courier_matcher(service, tmp_path / "courier.sock")
    with closing(build_service_matcher(service, places)) as direct, closing(through):
        assert direct.name == through.name == service.name
        assert direct.accepts == through.accepts
        assert direct.revision == through.revision


def test_directories_on_the_command_line_get_names_of_their_own(tmp_path: Path) -> None:
    names = ("srv/web", "home/web", "data/web", "srv/Ä ö!", "srv/" + "x" * 200)
    web, home, data, odd, long = (tmp_path / name for name in names)
    for path in (web, home, data, odd, long):
        path.mkdir(parents=True)
    configured = (RootSettings("web", web),)
    options = command_line_roots(
        configured, [web, home, data, data / ".." / "web", odd, Path("/"), long]
    )
    assert [(option.key, option.value) for option in options] == [
        ("roots.web-2.path", str(home)),
        ("roots.web-3.path", str(data)),
        ("roots.root.path", str(odd)),
        ("roots.root-2.path", "/"),
        (f"roots.{'x' * 40}.path", str(long)),
    ]
    file = tmp_path / "hashwacht.toml"
    file.write_text(f'[roots.web]\npath = "{web}"\n')
    assert len(load({}, uid=0, file=file, options=options).settings.roots) == 6
