"""Matchers for the services in the settings: asked from this process or through the courier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hashwacht.core.errors import CredentialError
from hashwacht.core.ports import Matcher
from hashwacht.matching.courier_client import CourierMatcher
from hashwacht.matching.services.arachnid import ArachnidProtocol
from hashwacht.matching.services.base import ServiceConfig, ServiceProtocol, Timeouts
from hashwacht.matching.services.eokm import EokmProtocol
from hashwacht.matching.services.hma import HmaProtocol
from hashwacht.matching.services.retry import RetryPolicy
from hashwacht.secrets import Credential, SecretSources, load_credential
from hashwacht.settings import ArachnidSettings, EokmSettings, HmaSettings, ServiceSettings

if TYPE_CHECKING:
    from hashwacht.matching.services.client import LoopThread

AnyService = EokmSettings | HmaSettings | ArachnidSettings


def build_protocol(settings: AnyService) -> ServiceProtocol:
    """Build the protocol of a service.  Raises ConfigurationError."""
    match settings:
        case EokmSettings():
            path = settings.test_path if settings.use_test_list else settings.path
            return EokmProtocol(dict(settings.signal_types), path)
        case HmaSettings():
            signal_type, colon, value = settings.known_signal.partition(":")
            known_signal = (signal_type, value) if colon else None
            types, categories = dict(settings.signal_types), dict(settings.categories)
            return HmaProtocol(types, settings.banks, categories, settings.category, known_signal)
        case ArachnidSettings():
            return ArachnidProtocol(settings.batch_size)


def build_courier_matcher(settings: AnyService, socket: Path) -> Matcher:
    """Build a matcher that asks through the courier at *socket*."""
    protocol = build_protocol(settings)
    revision = protocol.revision(settings.base_url)
    return CourierMatcher(settings.name, protocol.accepts, revision, socket)


class ServiceMatcherFactory:
    """Builds matchers that ask from this process; they share one thread, started on first use."""

    def __init__(self, sources: SecretSources) -> None:
        self._sources = sources
        self._loop: LoopThread | None = None

    def build(self, settings: AnyService) -> Matcher:
        """Build one matcher.  Raises ConfigurationError, CredentialError."""
        from hashwacht.matching.services.client import LoopThread, ServiceMatcher

        timeout = settings.timeout
        config = ServiceConfig(
            base_url=settings.base_url,
            credential=self._credential(settings),
            concurrency=settings.concurrency,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
            # One request with its retries may take nine times as long as one answer.
            timeouts=Timeouts(connect=min(5.0, timeout), read=timeout, request=9 * timeout),
            retries=RetryPolicy(max_attempts=settings.retries + 1),
        )
        self._loop = self._loop or LoopThread()
        return ServiceMatcher(settings.name, config, build_protocol(settings), self._loop)

    def _credential(self, settings: ServiceSettings) -> Credential | None:
        if not settings.credentials:
            return None
        try:
            return load_credential(settings.credentials, self._sources)
        except CredentialError as error:
            message = f"matcher {settings.name}: {error.message}"
            raise CredentialError(message, advice=error.advice) from None
