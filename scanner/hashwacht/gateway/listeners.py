"""The sockets of one server of the gateway: opened by it, so that an outage can close them."""

from __future__ import annotations

import grp
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core.errors import ConfigurationError
from hashwacht.ipc.sockets import BACKLOG, listen
from hashwacht.settings.gateway import ClamdSettings, HttpSettings, split_address

_log = logging.getLogger(__name__)

_TCP_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class FrontSockets:
    """Where one server listens.  *key* is its table in the configuration.

    *inherited* are sockets of systemd, which stay open while the gateway accepts nothing: then
    neither *path* nor *tcp* is opened.
    """

    key: str
    path: Path | None
    group: str
    mode: int
    tcp: str
    inherited: tuple[socket.socket, ...] = ()

    @classmethod
    def from_settings(
        cls,
        key: str,
        settings: ClamdSettings | HttpSettings,
        inherited: Sequence[socket.socket] = (),
    ) -> FrontSockets:
        """Return the sockets of the table ``gateway.KEY``."""
        mode, path = int(settings.mode, 8), settings.socket
        return cls(key, path, settings.group, mode, settings.tcp, tuple(inherited))

    @property
    def is_configured(self) -> bool:
        """Return whether there is any socket."""
        return bool(self.inherited or self.path or self.tcp)

    @property
    def names(self) -> list[str]:
        """Return the addresses for a log line."""
        if self.inherited:
            return ["sockets of systemd"]
        return [str(self.path)] * bool(self.path) + [self.tcp] * bool(self.tcp)

    def open(self) -> list[socket.socket]:
        """Listen on all of them.  Raises ConfigurationError, and then none is open."""
        if self.inherited:
            return [inherited.dup() for inherited in self.inherited]
        opened: list[socket.socket] = []
        try:
            opened.extend(self._open_each())
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        return opened

    def _open_each(self) -> Iterator[socket.socket]:
        if self.path is not None:
            group = _group_id(self.key, self.group)
            try:
                yield listen(self.path, group, mode=self.mode)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot listen at {self.path}: {error.strerror or error}",
                    advice=f"Set gateway.{self.key}.socket to a path where the gateway may create"
                    f" a socket, and gateway.{self.key}.group to one of its user's groups.",
                ) from error
        if self.tcp:
            try:
                yield _listen_tcp(*split_address(self.tcp))
            except OSError as error:
                raise ConfigurationError(
                    f"cannot listen on {self.tcp}: {error.strerror or error}",
                    advice=f"Set gateway.{self.key}.tcp to a free port; under systemd run"
                    " `hashwacht units --write`, which permits the gateway to use a network.",
                ) from error

    def remove_paths(self) -> None:
        """Remove the Unix socket of a server that does not listen any more."""
        if self.path is not None and not self.inherited:
            with suppress(OSError):
                self.path.unlink()


def _group_id(key: str, name: str) -> int:
    """Return the id of a group, our own for an empty name.  Raises ConfigurationError."""
    try:
        return grp.getgrnam(name).gr_gid if name else os.getegid()
    except KeyError:
        raise ConfigurationError(
            f"gateway.{key}.group: there is no group {name}",
            advice="Set it to the group of the program that connects, such as www-data.",
        ) from None


def _listen_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(max(BACKLOG, _TCP_BACKLOG))
    except BaseException:
        listener.close()
        raise
    return listener
