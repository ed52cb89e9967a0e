"""The installed daemon with its upload socket, and the storage of its uploads."""

from __future__ import annotations

import os
from pathlib import Path

from demo.pictures import encode, photo
from demo.sample_storage import KNOWN, known_list
from hashwacht import bootstrap
from hashwacht.core.upload_context import UploadContext
from hashwacht.settings import load
from support.daemon.daemon_program import DaemonProgram


class UploadDaemon(DaemonProgram):
    """A DaemonProgram that lists one picture and accepts uploads at ``socket``."""

    def __init__(self, home: Path, *settings: str) -> None:
        """Set up everything below *home*, which is created; *settings* are lines of [uploads]."""
        home.mkdir(exist_ok=True)
        super().__init__(home)
        self.socket = home / "uploads" / "uploads.sock"
        with self.configuration.open("a") as file:
            lines = ("[uploads]", 'mode = "daemon"', f'socket = "{self.socket}"', *settings)
            file.writelines(f"{line}\n" for line in lines)
        (home / "storage").mkdir()
        self.watch("web", home / "storage")
        result = self.run("lists", "import", "known", "-", given=known_list())
        assert result.returncode == 0, result.stderr.decode()

    def in_process(self) -> Path:
        """Return the same configuration with checks in the application's process."""
        file = self.home / "in-process.toml"
        file.write_text(self.configuration.read_text().replace('"daemon"', '"process"'))
        return file

    def upload_contexts(self, key: str) -> list[UploadContext]:
        """Return the stored contexts of the uploads of a content."""
        with bootstrap.store(load(self.environment, uid=os.geteuid()).settings) as store:
            return store.uploads.load(key)


def known() -> bytes:
    """Return a re-encoded copy of the listed picture that only a perceptual hash matches."""
    return encode(photo(KNOWN), "png")
