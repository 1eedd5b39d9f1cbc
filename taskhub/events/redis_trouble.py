"""What an error of the Redis client means: the server is away, or refuses us; retries nothing."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

from redis import exceptions as redis

from taskhub.errors import BusAway, BusRefused

AUTHENTICATION = (
    "the event server refuses our name or password: set username and password in [redis]"
)
RIGHTS = (
    "the event server gives [redis] username too few rights: it needs PUBLISH, SUBSCRIBE, PING "
    "and CLIENT, and [events] channel with its :bell; for [limits] EVALSHA, SCRIPT, GET, SET, "
    "TIME; with +streams XADD, XGROUP, XINFO, XREADGROUP, XAUTOCLAIM, XACK, XDEL, XLEN, "
    "XPENDING, XRANGE and TIME; for both the keys that begin with that channel in braces"
)
CERTIFICATE = "the event server's certificate is not trusted: set tls_ca in [redis]"
COMMANDS = "the event server refuses our commands: check [events] url"

REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "no answer in time"),
    (redis.TimeoutError, "no answer in time"),
    (redis.InvalidResponse, "it does not speak the Redis protocol"),
    (redis.BusyLoadingError, "it is still loading"),
    (redis.OutOfMemoryError, "its memory is full"),
    (redis.ReadOnlyError, "it is a replica"),
    (redis.MasterDownError, "its master is down"),
    (redis.MovedError, "the cluster has moved our keys"),
    (redis.ClusterDownError, "the cluster is down"),
    (ssl.SSLError, "TLS failed"),
    (socket.gaierror, "its name is not known"),
)


def trouble(error: BaseException) -> BusAway | BusRefused:
    """The error of ours that says it; never with words of the server's or of the configuration."""
    causes = list(_causes(error))
    for cause in causes:
        if refused := _refused(cause):
            return BusRefused(refused)
    reason = next((known for cause in causes if (known := _reason(cause))), "the line was cut")
    return BusAway(f"the event server does not answer: {reason}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from: the client wraps a refusal into a lost connection."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused(error: BaseException) -> str | None:
    if isinstance(error, redis.AuthenticationError | redis.AuthorizationError):
        return AUTHENTICATION
    # Of a command within a script a server says so only in the text.
    if isinstance(error, redis.NoPermissionError) or "ACL failure" in str(error):
        return RIGHTS
    if isinstance(error, ssl.SSLCertVerificationError):
        return CERTIFICATE
    if isinstance(error, redis.ResponseError) and error.status_code == "ERR":
        return COMMANDS  # another code is a passing state: BUSY, MASTERDOWN, OOM
    return None


def _reason(error: BaseException) -> str | None:
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else None
