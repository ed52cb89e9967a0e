"""Matchers for the services in the settings: asked from this process or through the courier."""

from __future__ import annotations

from pathlib import Path

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


def build_service_matcher(settings: AnyService, sources: SecretSources) -> Matcher:
    """Build a matcher that asks from this process.  Raises ConfigurationError, CredentialError."""
    from hashwacht.matching.services.client import ServiceMatcher

    timeout = settings.timeout
    config = ServiceConfig(
        base_url=settings.base_url,
        credential=_credential(settings, sources),
        concurrency=settings.concurrency,
        proxy=settings.proxy,
        ca_file=settings.ca_file,
        client_cert=settings.client_cert,
        client_key=settings.client_key,
        # The pauses between the attempts, which a busy service asks for, come on top.
        timeouts=Timeouts(min(5.0, timeout), timeout, request=9 * timeout),
        retries=RetryPolicy(max_attempts=settings.retries + 1),
    )
    return ServiceMatcher(settings.name, config, build_protocol(settings))


def _credential(settings: ServiceSettings, sources: SecretSources) -> Credential | None:
    if not settings.credentials:
        return None
    try:
        return load_credential(settings.credentials, sources)
    except CredentialError as error:
        message = f"matcher {settings.name}: {error.message}"
        raise CredentialError(message, advice=error.advice) from None
