"""Trying if alerts arrive: a harmless notice through every configured channel."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from hashwacht import bootstrap
from hashwacht.core.notice import Channel, Notice, NoticeKind
from hashwacht.courier.channels import build_way
from hashwacht.courier.lazy_channel import LateWay
from hashwacht.daemon.outbox_sender import PATIENCE
from hashwacht.ipc.client import Link, Unreached
from hashwacht.ipc.messages import Deliver, Delivered, Enclosed, Failed
from hashwacht.settings import Settings

_SUMMARY = "This is a test: somebody tries if alerts arrive. Nothing was found."


@dataclass(frozen=True, slots=True)
class Tried:
    """How a channel did; *by_courier* is False if this process itself had to do it."""

    channel: Channel
    by_courier: bool
    result: Delivered | Failed


def try_channels(settings: Settings, environ: Mapping[str, str]) -> Iterator[Tried]:
    """Try each: through the courier if one is within reach, else from this process."""
    link = Link(bootstrap.courier_socket(settings))
    try:
        for channel in settings.alerts.channels:
            notice = Notice(NoticeKind.TEST, time.time(), _SUMMARY)
            enclosed = Enclosed(secrets.token_hex(16), notice)
            deliver = Deliver(channel, secrets.token_hex(16), (enclosed,))
            reply = _by_courier(link, deliver)
            if reply is not None:
                yield Tried(channel, by_courier=True, result=reply)
            else:
                result = _from_here(channel, settings, environ, deliver)
                yield Tried(channel, by_courier=False, result=result)
    finally:
        link.close()


def _by_courier(link: Link, deliver: Deliver) -> Delivered | Failed | None:
    """None: there is no courier that would hear us."""
    try:
        reply = link.ask(deliver, PATIENCE)
    except Unreached:
        return None
    assert isinstance(reply, (Delivered, Failed)), "decoding lets nothing else through"
    return reply


def _from_here(
    channel: Channel, settings: Settings, environ: Mapping[str, str], deliver: Deliver
) -> Delivered | Failed:
    way = LateWay(partial(build_way, channel, settings, environ))
    try:
        return way.deliver(deliver)
    finally:
        way.close()
