"""Each error of the client says who can mend it: time (away) or an operator (refused)."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from redis import exceptions as redis
from taskhub.errors import BusAway, BusRefused
from taskhub.events.redis_trouble import trouble


def caused(error: Exception, cause: BaseException) -> Exception:
    """As redis-py wraps: the cause is the context."""
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), "no answer in time"),
        (redis.TimeoutError("x"), "no answer in time"),
        (redis.BusyLoadingError("x"), "still loading"),
        (redis.InvalidResponse("x"), "does not speak"),
        (redis.ConnectionError("secret host"), "the line was cut"),
        (redis.ResponseError("BUSY script"), "the line was cut"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "secret host"), "Connection refused"),
        (caused(redis.ConnectionError("x"), socket.gaierror(-2, "secret")), "name is not known"),
        (caused(redis.ConnectionError("x"), ssl.SSLError(1, "secret")), "TLS failed"),
    ],
)
def test_what_time_may_mend_is_away(error: Exception, text: str) -> None:
    """Degraded: tasks go on by polling."""
    away = trouble(error)

    assert isinstance(away, BusAway)
    assert text in away.detail
    assert "secret" not in away.detail


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (redis.AuthenticationError("secret"), "password in [redis]"),
        (redis.AuthorizationError("secret"), "password in [redis]"),
        (redis.NoPermissionError("secret"), "rights"),
        (redis.ResponseError("secret", status_code="ERR"), "[events] url"),
        (caused(redis.ConnectionError(""), redis.AuthenticationError("secret")), "[redis]"),
        (
            caused(redis.ConnectionError(""), ssl.SSLCertVerificationError("secret")),
            "tls_ca in [redis]",
        ),
    ],
)
def test_what_an_operator_must_mend_is_refused(error: Exception, text: str) -> None:
    """Failed: the text names the setting, never its value."""
    refused = trouble(error)

    assert isinstance(refused, BusRefused)
    assert text in refused.detail
    assert "secret" not in refused.detail
