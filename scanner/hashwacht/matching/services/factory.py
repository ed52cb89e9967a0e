"""The services of the settings as matchers: asked from here, or by the courier for us."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hashwacht.core.errors import CredentialError
from hashwacht.core.ports import Matcher
from hashwacht.core.types import Signal
from hashwacht.matching.services.service_config import (
    arachnid_revision,
    eokm_revision,
    hma_revision,
)
from hashwacht.secrets import Credential, SecretSources, load_credential
from hashwacht.settings import ArachnidSettings, EokmSettings, HmaSettings, ServiceSettings

if TYPE_CHECKING:
    from hashwacht.matching.services.client import LoopThread, ServiceClient
    from hashwacht.matching.services.service_config import Timeouts

AnyService = EokmSettings | HmaSettings | ArachnidSettings


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What can be known of a service without asking it; the same whoever asks."""

    accepts: frozenset[str]
    revision: str


def service_info(settings: AnyService) -> ServiceInfo:
    """Say which signal types a service takes, and what names its knowledge."""
    url = settings.base_url
    match settings:
        case EokmSettings():
            signal_types = dict(settings.signal_types)
            path = settings.test_path if settings.use_test_list else settings.path
            return ServiceInfo(frozenset(signal_types), eokm_revision(url, path, signal_types))
        case HmaSettings():
            types, categories = dict(settings.signal_types), dict(settings.categories)
            banks, category = settings.banks, settings.category
            revision = hma_revision(url, types, banks, category, categories)
            return ServiceInfo(frozenset(types), revision)
        case ArachnidSettings():
            return ServiceInfo(frozenset({"pdq"}), arachnid_revision(url))


def build_courier_matcher(settings: AnyService, socket: Path) -> Matcher:
    """Build a matcher that has the courier at *socket* ask."""
    from hashwacht.matching.courier_client import CourierMatcher

    known = service_info(settings)
    return CourierMatcher(settings.name, known.accepts, known.revision, socket)


class ServiceMatcherFactory:
    """Builds matchers that ask from this process.  They share one loop thread, made when needed."""

    def __init__(self, sources: SecretSources) -> None:
        """*places* is where credentials are looked for."""
        self._places = sources
        self._loop: LoopThread | None = None

    def build(self, settings: AnyService) -> Matcher:
        """Build one.  Raises ConfigurationError, CredentialError."""
        from hashwacht.matching.services.arachnid import ArachnidMatcher
        from hashwacht.matching.services.eokm import EokmMatcher
        from hashwacht.matching.services.hma import HmaMatcher

        client = self._connect(settings)
        match settings:
            case EokmSettings():
                return EokmMatcher(
                    settings.name,
                    client,
                    signal_types=dict(settings.signal_types),
                    path=settings.path,
                    test_path=settings.test_path,
                    use_test_list=settings.use_test_list,
                )
            case HmaSettings():
                return HmaMatcher(
                    settings.name,
                    client,
                    signal_types=dict(settings.signal_types),
                    banks=settings.banks,
                    category=settings.category,
                    categories=dict(settings.categories),
                    known_signal=_signal(settings.known_signal),
                )
            case ArachnidSettings():
                return ArachnidMatcher(settings.name, client, batch_size=settings.batch_size)

    def _connect(self, settings: ServiceSettings) -> ServiceClient:
        from hashwacht.matching.services.client import LoopThread, ServiceClient
        from hashwacht.matching.services.retry import RetryPolicy
        from hashwacht.matching.services.service_config import ServiceConfig

        self._loop = self._loop or LoopThread()
        service = ServiceConfig(
            base_url=settings.base_url,
            credential=self._credential(settings),
            concurrency=settings.concurrency,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
            timeouts=_timeouts(settings.timeout),
            retries=RetryPolicy(max_attempts=settings.retries + 1),
        )
        return ServiceClient(service, self._loop)

    def _credential(self, settings: ServiceSettings) -> Credential | None:
        """Find the credential; a matcher that names one cannot be asked without it."""
        if not settings.credentials:
            return None
        try:
            return load_credential(settings.credentials, self._places)
        except CredentialError as error:
            message = f"matcher {settings.name}: {error.message}"
            raise CredentialError(message, advice=error.advice) from None


def _timeouts(timeout: float) -> Timeouts:
    """Let one request with its repetitions take nine times as long as one answer."""
    from hashwacht.matching.services.service_config import Timeouts

    return Timeouts(connect=min(5.0, timeout), read=timeout, request=9 * timeout)


def _signal(text: str) -> Signal | None:
    """Read ``type:value``; empty is none."""
    type_, colon, value = text.partition(":")
    return Signal(type_, value) if colon else None
