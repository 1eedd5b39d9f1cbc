"""A real OpenID provider (npm `oidc-provider`) in a process of its own, and tokens from it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.acceptance.installation import PATIENCE, free_port
from tests.waiting import until

PROVIDER = Path(__file__).parent / "provider"
SCOPES = "tasks.read tasks.write"


def node() -> str:
    """The Node.js that runs the provider; skips the test (fails it in CI) where there is none."""
    found = shutil.which("node")
    if found and (PROVIDER / "node_modules/oidc-provider").is_dir():
        return found
    why = "the OpenID provider of Node.js is not installed: scripts/install-node-parts"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


class Identity:
    """The provider: it may be started, stopped, and given another key."""

    def __init__(self, folder: Path, http: aiohttp.ClientSession) -> None:
        """Nothing runs yet."""
        self._folder, self._http, self._node = folder, http, node()
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.kid = ""
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key, and publish no other, from the next start on."""
        self.kid = f"key-{next(self._numbers)}"
        private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        jwk = RSAAlgorithm.to_jwk(private, as_dict=True)
        jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
        keys = {"keys": [{**jwk, "kid": self.kid, "use": "sig", "alg": "RS256"}]}
        (self._folder / "keys.json").write_text(json.dumps(keys))

    async def start(self) -> None:
        """Start it and wait until it listens."""
        path = self._folder / "provider.log"
        with path.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(self._node, PROVIDER / "provider.mjs", str(self._port)),
                self._folder / "keys.json",
                stdout=log,
                stderr=log,
            )
        await until(lambda: "listens" in path.read_text() or self._has_ended(), PATIENCE)
        assert not self._has_ended(), path.read_text()

    async def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None and not self._has_ended():
            self._process.terminate()
            await self._process.wait()

    async def token(self) -> str:
        """An access token for a program, by its own name and secret."""
        form = {
            "grant_type": "client_credentials",
            "scope": SCOPES,
            "client_id": "robot",
            "client_secret": "a secret of the robot",
        }
        async with self._http.post(f"{self.url}/token", data=form) as answer:
            given: dict[str, Any] = await answer.json()
            assert answer.status == 200, given
            return str(given["access_token"])

    def _has_ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None


@asynccontextmanager
async def identity(folder: Path) -> AsyncIterator[Identity]:
    """A provider that has not been started, and is gone afterwards."""
    async with aiohttp.ClientSession() as http:
        provider = Identity(folder, http)
        try:
            yield provider
        finally:
            await provider.stop()
