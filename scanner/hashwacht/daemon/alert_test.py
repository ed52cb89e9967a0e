"""Trying if alerts arrive: a harmless notice through every configured channel."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from hashwacht import bootstrap
from hashwacht.core.notice import ChannelKind, Notice, NoticeKind
from hashwacht.courier.channels import build_channel
from hashwacht.courier.lazy_channel import LazyChannel
from hashwacht.daemon.outbox_sender import PATIENCE
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply, NoticeEnvelope
from hashwacht.settings import Settings

_SUMMARY = "This is a test: somebody tries if alerts arrive. Nothing was found."


@dataclass(frozen=True, slots=True)
class ChannelTestResult:
    """How a channel did; *by_courier* is False if this process itself had to do it."""

    channel: ChannelKind
    by_courier: bool
    result: DeliverReply | FailureReply


def send_test_alerts(settings: Settings, environ: Mapping[str, str]) -> Iterator[ChannelTestResult]:
    """Try each: through the courier if one is within reach, else from this process."""
    link = IpcClient(bootstrap.courier_socket(settings))
    try:
        for channel in settings.alerts.channels:
            notice = Notice(NoticeKind.TEST, time.time(), _SUMMARY)
            enclosed = NoticeEnvelope(secrets.token_hex(16), notice)
            deliver = DeliverRequest(channel, secrets.token_hex(16), (enclosed,))
            reply = _by_courier(link, deliver)
            if reply is not None:
                yield ChannelTestResult(channel, by_courier=True, result=reply)
            else:
                result = _from_here(channel, settings, environ, deliver)
                yield ChannelTestResult(channel, by_courier=False, result=result)
    finally:
        link.close()


def _by_courier(link: IpcClient, deliver: DeliverRequest) -> DeliverReply | FailureReply | None:
    """None: there is no courier that would hear us."""
    try:
        reply = link.call(deliver, PATIENCE)
    except CourierUnreachable:
        return None
    assert isinstance(reply, (DeliverReply, FailureReply)), "decoding lets nothing else through"
    return reply


def _from_here(
    channel: ChannelKind, settings: Settings, environ: Mapping[str, str], deliver: DeliverRequest
) -> DeliverReply | FailureReply:
    way = LazyChannel(partial(build_channel, channel, settings, environ))
    try:
        return way.deliver(deliver)
    finally:
        way.close()
