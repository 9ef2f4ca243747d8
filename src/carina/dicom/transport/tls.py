"""TLS as DICOM asks for it: 1.2 or newer, certificates checked on both sides where the settings say so.

Source: PS3.15 B.12 (BCP 195 RFC 9325), which Python's and OpenSSL's defaults follow.
"""

import ssl

from carina.dicom.transport.settings import ClientTls, ServerTls
from carina.errors import ConfigurationError


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return what accepts TLS connections.

    Raises
    ------
    ConfigurationError
        If a certificate or key cannot be used.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls.client_ca)
    except OSError as error:
        raise ConfigurationError(_in_words(error, str(tls.certificate))) from None
    return context


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """Return what opens TLS connections; the server's certificate and name are always checked.

    Raises
    ------
    ConfigurationError
        If a certificate or key cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        raise ConfigurationError(_in_words(error, str(tls.ca or tls.certificate))) from None
    return context


def _in_words(error: OSError, path: str) -> str:
    return (
        f"TLS cannot be set up with {path}: {error.strerror or type(error).__name__}. Certificates and keys are PEM "
        "files, the key without a password."
    )
