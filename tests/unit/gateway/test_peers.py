"""The other end of a connection."""

from __future__ import annotations

import os
import socket

from hashwacht.gateway.peers import Peer


def test_unix_socket_shows_user_group_and_process() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert Peer.from_socket(one) == Peer(os.getuid(), os.getgid(), os.getpid())


def test_tcp_socket_shows_address_and_port() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            peer = Peer.from_socket(accepted)
        assert peer == Peer(address="127.0.0.1", port=client.getsockname()[1])
