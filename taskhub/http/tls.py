"""TLS of the API: a certificate is checked before it is served, and replaced while we serve."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from taskhub.config.sections import HttpSection
from taskhub.config.settings import cure_for_open, is_open_to_others
from taskhub.errors import ConfigError, ConfigProblem
from taskhub.obs.telemetry import CertificateLoaded, Emit

CERTIFICATE, KEY = "http.tls_certificate", "http.tls_key"


class Pair(NamedTuple):
    """A certificate with its chain and its key, both in PEM, that belong together."""

    certificate: bytes
    key: bytes
    until: float
    """Seconds since 1970."""


class Tls:
    """The context of the listening socket; none where no certificate is configured.

    A new pair goes into the same context: connections that there are keep theirs, and the next
    handshake gets the new one.
    """

    def __init__(self, emit: Emit, clock: Callable[[], float] = time.time) -> None:
        self._emit, self._clock = emit, clock
        self._pair: Pair | None = None
        self._next: Pair | None = None
        self.context: ssl.SSLContext | None = None

    def prepare(self, section: HttpSection) -> None:
        """Read the pair that `apply` will serve; raises ConfigError when it cannot be served."""
        self._next = read_pair(section)
        if self._next is not None:
            load(server_context(), self._next)

    def apply(self) -> None:
        """Serve what was prepared."""
        before, self._pair = self._pair, self._next
        if self._pair is None:
            self.context = None
            return
        if self._pair != before:
            self.context = self.context or server_context()
            load(self.context, self._pair)
            left = self._pair.until - self._clock()
            self._emit(CertificateLoaded(until=self._pair.until, left=left))


def server_context() -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with Python's own choice of ciphers, HTTP/1.1 alone, no renegotiation."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def read_pair(section: HttpSection) -> Pair | None:
    """The pair in the configured files; None: no TLS. Raises ConfigError."""
    if not section.tls_certificate or not section.tls_key:
        return None
    certificate, key = Path(section.tls_certificate), Path(section.tls_key)
    pair = _checked(_read(CERTIFICATE, certificate), _read(KEY, key))
    if is_open_to_others(key):
        raise _wrong(KEY, cure_for_open(key))
    return pair


def tls_problems(section: HttpSection) -> list[ConfigProblem]:
    """What keeps the pair from being served, for whoever checks a configuration."""
    try:
        read_pair(section)
    except ConfigError as error:
        return list(error.problems)
    return []


def load(context: ssl.SSLContext, pair: Pair) -> None:
    """Put the pair into a context, from memory: the files may be others by now."""
    with ExitStack() as stack:
        certificate, key = _in_memory(stack, pair.certificate), _in_memory(stack, pair.key)
        try:
            context.load_cert_chain(certificate, key, password=b"")
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or "it cannot be used"
            raise _wrong(CERTIFICATE, f"expected a certificate that OpenSSL takes: {why}") from None


def _in_memory(stack: ExitStack, data: bytes) -> str:
    """A path to these bytes that nobody else has; OpenSSL reads files only."""
    fd = os.memfd_create("tls", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.write(fd, data)
    return f"/proc/self/fd/{fd}"


def _checked(certificate: bytes, key: bytes) -> Pair:
    from cryptography.exceptions import UnsupportedAlgorithm  # late: 6 MB, and for TLS alone
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    try:
        first = load_pem_x509_certificates(certificate)[0]
        public = first.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _wrong(CERTIFICATE, "expected a certificate in PEM that can be read") from None
    try:
        private = load_pem_private_key(key, None)
    except TypeError:
        raise _wrong(KEY, "expected a key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _wrong(KEY, "expected a private key in PEM that can be read") from None
    if private.public_key() != public:
        raise _wrong(KEY, "expected the key that belongs to http.tls_certificate")
    return Pair(certificate, key, first.not_valid_after_utc.timestamp())


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        wanted = f"expected a file that can be read: {error.strerror or error}"
        raise _wrong(key, wanted) from None


def _wrong(key: str, expected: str) -> ConfigError:
    return ConfigError([ConfigProblem(key, expected)])
