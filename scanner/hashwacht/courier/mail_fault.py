"""What a mail server has against us, in our words: its own may hold anything."""

from __future__ import annotations

import smtplib
import ssl

_FAULTS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        smtplib.SMTPAuthenticationError,
        "the mail server refused the login",
        "Check alerts.mail.credentials.",
    ),
    (
        smtplib.SMTPNotSupportedError,
        "the mail server does not offer what is configured (STARTTLS, login)",
        'Choose another alerts.mail.security; "tls" is usual for port 465.',
    ),
    (
        smtplib.SMTPSenderRefused,
        "the mail server refused the sender",
        "Check alerts.mail.sender.",
    ),
    (
        smtplib.SMTPServerDisconnected,
        "the mail server hung up",
        "Check alerts.mail.security and port.",
    ),
    (
        ssl.SSLCertVerificationError,
        "the mail server's certificate is not accepted",
        "Use the name in its certificate, or name its authority in alerts.mail.ca_file.",
    ),
    (ssl.SSLError, "no TLS with the mail server", "Check alerts.mail.security and port."),
    (smtplib.SMTPResponseException, "the mail server refused the message", "See its log."),
    (OSError, "the mail server is out of reach", "Check alerts.mail.server and port."),
)
"""The first line whose kind it is applies."""


def judge(error: Exception) -> tuple[str, str]:
    """Give problem and advice."""
    for kind, problem, advice in _FAULTS:
        if isinstance(error, kind):
            return problem + _detail(error), advice
    return "the mail server says nonsense", "See if it is one."


def _detail(error: Exception) -> str:
    """Add what is ours or the system's to say: a code, the name of an error."""
    match error:
        case smtplib.SMTPResponseException(smtp_code=code):
            return f" (code {code})"
        case ssl.SSLCertVerificationError(verify_message=why):
            return f": {why}"
        case OSError(strerror=str(why)) if not isinstance(
            error, (ssl.SSLError, smtplib.SMTPException)
        ):
            return f": {why}"
        case TimeoutError():
            return ": timed out"
    return ""
