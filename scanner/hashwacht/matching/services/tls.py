"""The one TLS context: verified, 1.2 at least, independent of the environment's key logging."""

from __future__ import annotations

import ssl
from pathlib import Path

from hashwacht.core.errors import ConfigurationError
from hashwacht.matching.services.service import Service


def tls_context(service: Service) -> ssl.SSLContext:
    """Make the context for a service.  Raises ConfigurationError for unusable PEM files."""
    context = trusting(service.ca_file)
    if service.client_cert is not None:
        _present(context, service)
    return context


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Make a context that trusts the authorities in *ca_file*.  Raises ConfigurationError.

    Built from ``PROTOCOL_TLS_CLIENT``, which verifies certificate and host name; unlike
    ``ssl.create_default_context`` it ignores ``SSLKEYLOGFILE``.  Without *ca_file* the
    system's authorities are trusted, as its administrator has set them up.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"{ca_file}: no usable certificates: {error.strerror or 'malformed'}",
            advice="Give a readable PEM file with the authority's certificate.",
        ) from error
    return context


def _present(context: ssl.SSLContext, service: Service) -> None:
    """Load the client certificate; an encrypted key is refused instead of asked for."""
    assert service.client_cert is not None
    try:
        context.load_cert_chain(service.client_cert, service.client_key, password=lambda: "")
    except OSError as error:
        raise ConfigurationError(
            f"{service.client_cert}: no usable client certificate: {error.strerror or 'malformed'}",
            advice="Give PEM files of certificate and unencrypted key, readable for this user.",
        ) from error
