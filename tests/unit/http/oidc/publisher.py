"""An issuer that a test runs on a real socket: it signs tokens, publishes keys, and misbehaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from ssl import SSLContext
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "taskhub"
RSA_KEYS = tuple(rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))
"""Made once: each takes a while."""

Misdeed = Callable[[web.Request], Awaitable[web.StreamResponse]]


def new_private(algorithm: str) -> Any:
    """A private key for an algorithm; an RSA key is one of two."""
    curves: dict[str, type[Any]] = {
        "ES256": ec.SECP256R1,
        "ES384": ec.SECP384R1,
        "ES512": ec.SECP521R1,
    }
    if algorithm in curves:
        return ec.generate_private_key(curves[algorithm]())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else RSA_KEYS[0]


def public_jwk(private: Any, algorithm: str, **members: Any) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    jwk = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    return {**{name: value for name, value in jwk.items() if name != "key_ops"}, **members}


class Publisher:
    """The issuer. `kids` are those of the keys it publishes, the last one signs."""

    def __init__(self, tls: SSLContext | None = None) -> None:
        self._tls = tls
        self.url, self.asked, self._numbers = "", list[str](), count(1)
        self.keys: dict[str, tuple[Any, str]] = {}
        self.misdeed: Misdeed | None = None
        self.name: str | None = None
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.rotate()

    def rotate(self, algorithm: str = "ES256") -> str:
        """Sign with a new key from now on, and withdraw the old ones; its id."""
        self.keys.clear()
        return self.add(algorithm)

    def add(self, algorithm: str = "ES256") -> str:
        """Sign with one more key from now on; its id."""
        kid = f"key-{next(self._numbers)}"
        self.keys[kid] = new_private(algorithm), algorithm
        return kid

    def token(self, kid: str = "", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good access token, signed with the newest key or with the one named."""
        kid = kid or list(self.keys)[-1]
        private, algorithm = self.keys[kid]
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": int(time.time()) + 600,
            "scope": "tasks.read tasks.write",
        }
        whole = {name: value for name, value in (good | claims).items() if value is not None}
        named = {"kid": kid, "typ": "at+jwt"} | (header or {})
        return jwt.encode(whole, private, algorithm, headers=named)

    def bearer(self, *args: Any, **claims: Any) -> dict[str, str]:
        """The header field with such a token."""
        return {"Authorization": f"Bearer {self.token(*args, **claims)}"}

    async def start(self) -> None:
        """Listen; on the same port as before."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Be away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def fetches(self) -> int:
        """How often the key set was asked for."""
        return self.asked.count("/jwks")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.misdeed is not None:
            return await self.misdeed(request)
        return web.json_response(self.document(request.path))

    def document(self, path: str) -> Any:
        """What stands at a path."""
        if path == "/jwks":
            own = [public_jwk(*pair, kid=kid, use="sig") for kid, pair in self.keys.items()]
            return {"keys": own}
        return {"issuer": self.name or self.url, "jwks_uri": f"{self.url}/jwks"}


@asynccontextmanager
async def publishing(tls: SSLContext | None = None) -> AsyncIterator[Publisher]:
    """An issuer that listens, and is gone afterwards."""
    publisher = Publisher(tls)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def huge(_: web.Request) -> web.StreamResponse:
    """More than anybody would publish."""
    return web.Response(body=b'{"keys":[' + b" " * 300_000 + b"]}")


async def garbage(_: web.Request) -> web.StreamResponse:
    """No JSON."""
    return web.Response(body=b"<html>Sign in, please</html>")


async def failing(_: web.Request) -> web.StreamResponse:
    """An outage."""
    return web.Response(status=500)


async def elsewhere(_: web.Request) -> web.StreamResponse:
    """A redirect to another machine, without TLS."""
    return web.Response(status=302, headers={"Location": "http://192.0.2.1/jwks"})


async def zipped(request: web.Request) -> web.StreamResponse:
    """An encoding that nobody asked for."""
    answer = web.Response(body=json.dumps({"keys": []}).encode())
    answer.headers["Content-Encoding"] = "gzip"
    return answer


async def never(_: web.Request) -> web.StreamResponse:
    """An answer that does not come."""
    await asyncio.Event().wait()
    raise AssertionError
