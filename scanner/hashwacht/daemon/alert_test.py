"""Test alerts: a harmless notice through every configured channel."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from hashwacht import bootstrap
from hashwacht.core.notice import ChannelKind, Notice, NoticeKind
from hashwacht.courier.channels import LazyChannel, build_channel
from hashwacht.daemon.outbox_sender import DELIVERY_TIMEOUT
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply, NoticeEnvelope
from hashwacht.settings import Settings

_SUMMARY = "This is a test alert from Hashwacht. Nothing was found."


@dataclass(frozen=True, slots=True)
class ChannelTestResult:
    """The result of a channel; *by_courier* is False if this process delivered the alert itself."""

    channel: ChannelKind
    by_courier: bool
    result: DeliverReply | FailureReply


def send_test_alerts(settings: Settings, environ: Mapping[str, str]) -> Iterator[ChannelTestResult]:
    """Send a test alert to each channel, through the courier if it is reachable."""
    client = IpcClient(bootstrap.courier_socket(settings))
    try:
        for channel in settings.alerts.channels:
            notice = Notice(NoticeKind.TEST, time.time(), _SUMMARY)
            envelope = NoticeEnvelope(secrets.token_hex(16), notice)
            request = DeliverRequest(channel, secrets.token_hex(16), (envelope,))
            reply = _send_by_courier(client, request)
            by_courier = reply is not None
            result = reply or _send_directly(channel, settings, environ, request)
            yield ChannelTestResult(channel, by_courier=by_courier, result=result)
    finally:
        client.close()


def _send_by_courier(
    client: IpcClient, request: DeliverRequest
) -> DeliverReply | FailureReply | None:
    """Return the courier's reply; None if it is unreachable."""
    try:
        reply = client.call(request, DELIVERY_TIMEOUT)
    except CourierUnreachable:
        return None
    assert isinstance(reply, (DeliverReply, FailureReply)), "the decoder accepts no other reply"
    return reply


def _send_directly(
    channel: ChannelKind, settings: Settings, environ: Mapping[str, str], request: DeliverRequest
) -> DeliverReply | FailureReply:
    delivery = LazyChannel(partial(build_channel, channel, settings, environ))
    try:
        return delivery.deliver(request)
    finally:
        delivery.close()
