"""The services of the settings as matchers: asked from here, or by the courier for us."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hashwacht.core.errors import CredentialError
from hashwacht.core.ports import Matcher
from hashwacht.core.types import Signal
from hashwacht.matching.services.service_config import of_arachnid, of_eokm, of_hma
from hashwacht.secrets import Credential, Places, find
from hashwacht.settings import ArachnidSettings, EokmSettings, HmaSettings, ServiceSettings

if TYPE_CHECKING:
    from hashwacht.matching.services.client import Client, LoopThread
    from hashwacht.matching.services.service_config import Patience

AnyService = EokmSettings | HmaSettings | ArachnidSettings


@dataclass(frozen=True, slots=True)
class Face:
    """What can be known of a service without asking it; the same whoever asks."""

    accepts: frozenset[str]
    revision: str


def face(settings: AnyService) -> Face:
    """Say which signal types a service takes, and what names its knowledge."""
    url = settings.base_url
    match settings:
        case EokmSettings():
            formats = dict(settings.formats)
            path = settings.test_path if settings.test else settings.path
            return Face(frozenset(formats), of_eokm(url, path, formats))
        case HmaSettings():
            types, categories = dict(settings.signal_types), dict(settings.categories)
            banks, category = settings.banks, settings.category
            revision = of_hma(url, types, banks, category, categories)
            return Face(frozenset(types), revision)
        case ArachnidSettings():
            return Face(frozenset({"pdq"}), of_arachnid(url))


def through_courier(settings: AnyService, socket: Path) -> Matcher:
    """Build a matcher that has the courier at *socket* ask."""
    from hashwacht.matching.courier_client import CourierMatcher

    known = face(settings)
    return CourierMatcher(settings.name, known.accepts, known.revision, socket)


class Services:
    """Builds matchers that ask from this process.  They share one loop thread, made when needed."""

    def __init__(self, places: Places) -> None:
        """*places* is where credentials are looked for."""
        self._places = places
        self._loop: LoopThread | None = None

    def matcher(self, settings: AnyService) -> Matcher:
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
                    formats=dict(settings.formats),
                    path=settings.path,
                    test_path=settings.test_path,
                    test=settings.test,
                )
            case HmaSettings():
                return HmaMatcher(
                    settings.name,
                    client,
                    signal_types=dict(settings.signal_types),
                    banks=settings.banks,
                    category=settings.category,
                    categories=dict(settings.categories),
                    canary=_signal(settings.canary),
                )
            case ArachnidSettings():
                return ArachnidMatcher(settings.name, client, batch=settings.batch)

    def _connect(self, settings: ServiceSettings) -> Client:
        from hashwacht.matching.services.client import Client, LoopThread
        from hashwacht.matching.services.retry import Retries
        from hashwacht.matching.services.service_config import Service

        self._loop = self._loop or LoopThread()
        service = Service(
            base_url=settings.base_url,
            credential=self._credential(settings),
            concurrency=settings.concurrency,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
            patience=_patience(settings.timeout),
            retries=Retries(attempts=settings.retries + 1),
        )
        return Client(service, self._loop)

    def _credential(self, settings: ServiceSettings) -> Credential | None:
        """Find the credential; a matcher that names one cannot be asked without it."""
        if not settings.credentials:
            return None
        try:
            return find(settings.credentials, self._places)
        except CredentialError as error:
            message = f"matcher {settings.name}: {error.message}"
            raise CredentialError(message, advice=error.advice) from None


def _patience(timeout: float) -> Patience:
    """Let one request with its repetitions take nine times as long as one answer."""
    from hashwacht.matching.services.service_config import Patience

    return Patience(connect=min(5.0, timeout), read=timeout, request=9 * timeout)


def _signal(text: str) -> Signal | None:
    """Read ``type:value``; empty is none."""
    type_, colon, value = text.partition(":")
    return Signal(type_, value) if colon else None
