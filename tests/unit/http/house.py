"""A whole API on a real socket before a real SQLite file, and the clients that tests send to it."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec
from multidict import CIMultiDict
from taskhub.actors.store import StoreActor, StoreHealth
from taskhub.config.sections import Config, HttpSection, JwtSection, Secret
from taskhub.http.auth import Verifier
from taskhub.http.catalog import Catalog
from taskhub.http.context import ActorRow, ApiContext, PartHealth, Verdict
from taskhub.http.external.bench import Bench
from taskhub.http.external.claiming import giving_back
from taskhub.http.limits import Limits
from taskhub.http.live.tail import Tail
from taskhub.http.oidc.keyring import Keyring
from taskhub.http.patience import Patience
from taskhub.http.server import serving
from taskhub.http.waiting import for_cancels, for_ends
from taskhub.kernel.actor import Context
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Publish, Put
from taskhub.model import DEFAULTS_KEY, TypeInfo
from taskhub.obs.telemetry import Telemetry
from taskhub.ports import Result, Write
from taskhub.store.sqlite import SqliteStore

SECRET = "a secret of more than 32 bytes for tests"
ISSUER, AUDIENCE = "https://issuer.example", "taskhub"
TYPES = (
    TypeInfo("simulate"),
    TypeInfo(
        "resize",
        {
            "type": "object",
            "properties": {"url": {"type": "string"}, "width": {"type": "integer"}},
            "required": ["url"],
            "additionalProperties": False,
            DEFAULTS_KEY: {"queue": "images", "timeoutSeconds": 30, "maxAttempts": 3},
        },
    ),
)
CONFIG = Config(
    jwt=JwtSection(authority=ISSUER, audience=AUDIENCE, issuer_signing_key=Secret(SECRET))
)
ROWS = (ActorRow(name="api-1/store", state="ready", uptime=1.5, restarts=0, mailbox_limit=64),)


def token(**claims: Any) -> str:
    """A good token of alice, who may do everything that scopes allow; claims change it."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "exp": int(time.time()) + 3_600,  # some are made before the first test of a long run
        "scope": "tasks.read tasks.write",
    }
    whole = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(whole, SECRET, "HS256")


def bearer(**claims: Any) -> dict[str, str]:
    """The header field with such a token."""
    return {"Authorization": f"Bearer {token(**claims)}"}


class FakeTree:
    """A tree of one actor; `verdict` is what becomes of its restart."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.verdict: Verdict = "good"

    async def look(self, name: str) -> Verdict:
        """Whether it is there."""
        return "good" if name == ROWS[0].name else "unknown"

    async def ask(self, name: str) -> Verdict:
        """Note who was to be restarted."""
        self.asked.append(name)
        return self.verdict


class House:
    """What a test holds of the running API."""

    def __init__(self, store: SqliteStore, config: Config, box: Mailbox[Put]) -> None:
        self.store, self.config, self.box = store, config, box
        self.told: list[Telemetry] = []
        self.restarts = FakeTree()
        self.parts: list[PartHealth] = [PartHealth("store", "ok"), PartHealth("events", "ok")]
        self.keyring = Keyring(self.told.append)
        self.context = ApiContext(
            store_box=box,
            store=store,
            verifier=Verifier(config.jwt, keyring=self.keyring),
            emit=self.told.append,
            settings=lambda: self.config,
            types=Catalog(store.types, TYPES),
            health=lambda: [*self.parts, *self.keyring.health()],
            metrics=_metrics,
            actors=_actors,
            restarts=self.restarts,
            waiters=for_ends(store.get, limit=4, poll=0.2),
            cancels=for_cancels(store.cancels, limit=2, poll=0.2),
            bench=Bench(giving_back(box, self.told.append), limit=2, poll=0.2),
            live=Tail(store.events, self.told.append),
            patience=Patience(asyncio.get_running_loop()),
            limits=Limits(config.limits, self.told.append),
        )
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self.sock.setblocking(False)
        self.port: int = self.sock.getsockname()[1]
        self.client = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=bearer())

    async def put(self, *writes: Write) -> Sequence[Result]:
        """Write to the store as another actor would."""
        return await Put(*writes).sent_to(self.box)

    async def create(self, **members: Any) -> dict[str, Any]:
        """A new task, as the API answers it."""
        async with self.client.post("/tasks", json={"title": "a task"} | members) as answer:
            assert answer.status == 201, await answer.text()
            made: dict[str, Any] = await answer.json()
            return made

    async def ask(self, method: str, path: str, **options: Any) -> Reply:
        """Any request; the answer whole."""
        async with self.client.request(method, path, **options) as answer:
            return Reply(answer.status, answer.headers.copy(), await answer.read())

    async def raw(self, data: bytes, *, until_closed: bool = True) -> bytes:
        """Bytes to the socket; what comes back until the server closes it (or once)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(10):
                return await (reader.read() if until_closed else reader.read(65_536))
        finally:
            writer.close()

    def said(self, kind: type[Telemetry]) -> list[Any]:
        """What was told of one kind."""
        return [event for event in self.told if type(event) is kind]


class Reply(msgspec.Struct):
    """An answer that was read to its end."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return msgspec.json.decode(self.body)


async def _metrics(*, as_openmetrics: bool = False, zipped: bool = False) -> bytes:
    text = b"# EOF\n" if as_openmetrics else b"up 1\n"
    return gzip.compress(text) if zipped else text


async def _actors() -> Sequence[ActorRow]:
    return ROWS


def tuned(config: Config, **http: Any) -> Config:
    """A configuration with other values in `[http]`."""
    return msgspec.structs.replace(config, http=HttpSection(**http))


@asynccontextmanager
async def running_store(path: Path, empty: Path, box: Mailbox[Put]) -> AsyncIterator[SqliteStore]:
    """The store on a copy of an empty database, and its actor."""
    shutil.copy(empty, path)
    store = SqliteStore(path)
    outbox: Mailbox[Publish] = Mailbox("publisher", 1)
    actor = StoreActor(box, store, outbox, StoreHealth(), lambda _: None)
    ctx = Context("store")
    task = asyncio.create_task(actor.run(ctx))
    await ctx.is_ready.wait()
    try:
        yield store
    finally:
        box.close()
        await task


@asynccontextmanager
async def open_house(
    folder: Path, empty: Path, config: Config = CONFIG, tls: ssl.SSLContext | None = None
) -> AsyncIterator[House]:
    """An API that serves while the block runs."""
    async with AsyncExitStack() as stack:
        box: Mailbox[Put] = Mailbox("store", 64)
        store = await stack.enter_async_context(running_store(folder / "tasks.db", empty, box))
        house = House(store, config, box)
        stack.callback(house.sock.close)
        await stack.enter_async_context(serving(house.context, house.sock, tls))
        stack.push_async_callback(house.client.close)
        yield house
