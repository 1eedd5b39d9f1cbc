"""What TaskHub asks of Azure Service Bus, in AMQP 1.0, for tests: a process of its own.

It was written from what the SDK sends and expects; it is no Service Bus. What it does not have:
sessions, transactions, forwarding, schedules, management of entities, persistence.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit
from uuid import UUID

from proton import Condition, Delivery, Endpoint, Message, symbol, timestamp
from proton.handlers import EndpointStateHandler, FlowController, MessagingHandler
from proton.reactor import Container

from tests.servicebus.entities import DEAD, Kept, Subscription, Topic

TICK = 0.05
MAX_MESSAGE = 262_144
NOT_FOUND, UNAUTHORIZED = "amqp:not-found", "amqp:unauthorized-access"
LOCK_LOST = "com.microsoft:message-lock-lost"
DATA = 0x75
SHORT = b"\xa0\xc0\xc1"
"""Constructors (bytes, list, map) whose size has one byte; of the others' it has four."""
CBS, MANAGEMENT = "$cbs", "$management"
OUTCOMES = {
    Delivery.ACCEPTED: "completed",
    Delivery.MODIFIED: "abandoned",
    Delivery.RELEASED: "released",
    Delivery.REJECTED: "dead-lettered",
}


class Peer(MessagingHandler):  # type: ignore[misc]
    """Serves one topic of a namespace."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(prefetch=200)
        ours = FlowController | EndpointStateHandler  # deliveries are for us
        handlers: Any = self.handlers  # type: ignore[has-type]
        self.handlers = [each for each in handlers if isinstance(each, ours)]
        self._port, self._key = settings["port"], settings["key"]
        self._name = settings["topic"]
        subscriptions = {
            name: Subscription(**each | {"subjects": frozenset(each.get("subjects", ()))})
            for name, each in settings["subscriptions"].items()
        }
        self.topic = Topic(subscriptions, window=settings.get("window", 60.0))
        self._takers: dict[str, list[Any]] = defaultdict(list)
        self._let_in: set[Any] = set()

    # ---- connections and links

    def on_start(self, event: Any) -> None:
        self._container = event.container
        event.container.listen(f"127.0.0.1:{self._port}")
        event.container.schedule(TICK, self)
        threading.Thread(target=self._obey, daemon=True).start()
        _say("ready")

    def on_timer_task(self, event: Any) -> None:
        for name, subscription in self.topic.subscriptions.items():
            if subscription.sweep():
                self._deliver(name)
        event.container.schedule(TICK, self)

    def on_link_opening(self, event: Any) -> None:
        """The handler above opens it after this."""
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        link.rcv_settle_mode = link.remote_rcv_settle_mode
        link.snd_settle_mode = link.remote_snd_settle_mode
        link.max_message_size = MAX_MESSAGE

    def on_link_local_open(self, event: Any) -> None:
        link = event.link
        path = _path(_node(link))
        if wrong := self._wrong_with(link, path):
            link.condition = Condition(wrong, "refused by the tests' peer")
            link.close()
        elif link.is_sender and not _is_service(path):
            self._takers[path].append(link)
            self._deliver(path)

    def on_link_closing(self, event: Any) -> None:
        self._forget(event.link)
        event.link.close()

    def on_disconnected(self, event: Any) -> None:
        self._let_in.discard(event.connection)
        for links in self._takers.values():
            links[:] = [link for link in links if link.connection != event.connection]

    def _forget(self, link: Any) -> None:
        for links in self._takers.values():
            if link in links:
                links.remove(link)

    def _wrong_with(self, link: Any, path: str) -> str:
        if path == CBS:
            return ""
        if link.connection not in self._let_in:
            return UNAUTHORIZED
        if path.endswith(MANAGEMENT):
            path = _short(path.removesuffix(f"/{MANAGEMENT}"))
            return "" if path in {self._name, *self.topic.subscriptions} else NOT_FOUND
        name = path.removesuffix(f"/{DEAD}")
        known = name in self.topic.subscriptions if link.is_sender else path == self._name
        return "" if known else NOT_FOUND

    # ---- what clients send

    def on_delivery(self, event: Any) -> None:
        delivery = event.delivery
        if delivery.link.is_receiver:
            if delivery.link.state & Endpoint.LOCAL_CLOSED:
                delivery.settle()  # of a link that was refused
            elif delivery.readable and not delivery.partial:
                raw = bytes(delivery.link.recv(delivery.pending))
                delivery.link.advance()
                self._sent(event, delivery, raw)
        elif delivery.updated:
            self._settled(delivery)

    def _sent(self, event: Any, delivery: Any, raw: bytes) -> None:
        path = _path(delivery.link.remote_target.address)
        if path == CBS:
            self._log_in(event, _message(raw))
        elif path.endswith(MANAGEMENT):
            self._manage(event, path, _message(raw))
        elif wrong := self.topic.refuses:
            delivery.local.condition = Condition(
                wrong, "refused by the tests' peer", {"by": "peer"}
            )
            delivery.update(Delivery.REJECTED)
            delivery.settle()
            return
        else:
            for part in unpacked(raw):
                self.topic.put(_message(part), _copy)
            for name in self.topic.subscriptions:
                self._deliver(name)
        delivery.update(Delivery.ACCEPTED)
        delivery.settle()

    def _log_in(self, event: Any, message: Any) -> None:
        is_good = _is_signed(message.body, self._key)
        if is_good:
            self._let_in.add(event.connection)
        said = {"status-code": 202, "status-description": "Accepted"}
        if not is_good:
            said = {"status-code": 401, "status-description": "InvalidSignature"}
        self._answer(event.connection, CBS, message, said, None)

    def _answer(
        self, connection: Any, node: str, asked: Any, said: dict[str, Any], body: Any
    ) -> None:
        answer = Message(body=body, properties=said, correlation_id=asked.id)
        link = connection.link_head(0)
        while link is not None:
            if link.is_sender and _path(link.remote_source.address) == node:
                link.send(answer).settle()
                return
            link = link.next(0)

    def _manage(self, event: Any, path: str, message: Any) -> None:
        name = path.removesuffix(f"/{MANAGEMENT}")
        subscription = self.topic.subscriptions.get(_short(name))
        body, code = None, 200
        match message.properties["operation"]:
            case "com.microsoft:renew-lock" if subscription:
                body, code = _renewed(subscription, message.body)
            case "com.microsoft:peek-message" if subscription:
                body, code = _peeked(subscription, message.body)
            case "com.microsoft:update-disposition" if subscription:
                body, code = _disposed(subscription, message.body)
                self._deliver(_short(name))
            case _:
                code = 501
        said = {"statusCode": code, "statusDescription": "by the tests' peer"}
        if code == 410:
            said["errorCondition"] = symbol(LOCK_LOST)
        self._answer(event.connection, path, message, said, body)

    # ---- what clients get

    def on_link_flow(self, event: Any) -> None:
        if event.link.is_sender:
            self._deliver(_path(event.link.remote_source.address))
            if event.link.drain_mode:
                event.link.drained()

    def _deliver(self, path: str) -> None:
        subscription = self.topic.subscriptions.get(path)
        if subscription is None:
            return
        links = self._takers[path]
        while ready := [link for link in links if link.credit > link.queued]:
            token = secrets.token_hex(8).encode()
            kept = subscription.take(token)
            if kept is None:
                return
            link = ready[0]
            links.remove(link)  # the next one is for another
            links.append(link)
            delivery = link.delivery(token.decode())
            link.stream(_encoded(kept, subscription))
            link.advance()
            delivery.token = token

    def _settled(self, delivery: Any) -> None:
        state = delivery.remote_state
        what = OUTCOMES.get(state)
        path = _path(delivery.link.remote_source.address)
        if what is None or (subscription := self.topic.subscriptions.get(path)) is None:
            delivery.settle()
            return
        reason = ""
        if what == "dead-lettered" and (condition := delivery.remote.condition):
            reason = (condition.info or {}).get("DeadLetterReason", "")
        if subscription.settle(delivery.tag.encode(), what, reason):
            delivery.update(state)
        else:
            delivery.local.condition = Condition(LOCK_LOST, "", {"by": "peer"})
            delivery.update(Delivery.REJECTED)
        delivery.settle()
        self._deliver(path)

    # ---- what the test says

    def _obey(self) -> None:
        """A line of JSON sets what of the topic it names; the answer is how all is."""
        for line in sys.stdin:
            for name, value in json.loads(line).items():
                if name in {"empty", "late"}:
                    getattr(self.topic, name)()
                else:
                    setattr(self.topic, name, value)
            _say(json.dumps(self.topic.state()))
        self._container.stop()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _node(link: Any) -> str | None:
    address: str | None = (link.remote_source if link.is_sender else link.remote_target).address
    return address


def _path(address: str | None) -> str:
    """`.../Subscriptions/NAME` is NAME; a topic, and the node of a service, is itself."""
    path = urlsplit(address or "").path.strip("/")
    return _short(path)


def _short(path: str) -> str:
    _, mark, name = path.partition("/Subscriptions/")
    return name if mark else path


def _is_service(path: str) -> bool:
    return path == CBS or path.endswith(MANAGEMENT)


def _message(raw: bytes) -> Any:
    message = Message()
    message.decode(raw)
    return message


def _copy(message: Any) -> bytes:
    return bytes(message.encode())


def unpacked(raw: bytes) -> list[bytes]:
    """The messages of a batch (format 0x80013700): there is one in each of its data sections."""
    data = [section for code, section in _sections(raw) if code == DATA]
    is_batch = bool(data) and all(part[:2] == b"\x00\x53" for part in data)
    return data if is_batch else [raw]


def _sections(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and content of each section of a message."""
    at = 0
    while at < len(raw):
        code, kind = raw[at + 2], raw[at + 3]
        width = 1 if kind in SHORT else 4
        at += 4 + width
        size = int.from_bytes(raw[at - width : at], "big")
        yield code, raw[at : at + size]
        at += size


def _encoded(kept: Kept, subscription: Subscription) -> bytes:
    message = _message(kept.message)
    message.delivery_count = kept.deliveries
    message.annotations = (message.annotations or {}) | {
        symbol("x-opt-locked-until"): timestamp(int(1_000 * (time.time() + subscription.lock))),
        symbol("x-opt-sequence-number"): kept.number,
        symbol("x-opt-enqueued-time"): timestamp(int(1_000 * time.time())),
    }
    return bytes(message.encode())


def _tokens(body: Any) -> list[bytes]:
    return [UUID(str(token)).bytes_le for token in body["lock-tokens"]]


def _renewed(subscription: Subscription, body: Any) -> tuple[Any, int]:
    held = [subscription.renew(token) for token in _tokens(body)]
    if None in held:
        return None, 410
    ends = [timestamp(int(1_000 * (time.time() + lock))) for lock in held if lock]
    return {"expirations": ends}, 200


def _peeked(subscription: Subscription, body: Any) -> tuple[Any, int]:
    there = list(subscription.waiting)[: body["message-count"]]
    if not there:
        return None, 204
    return {"messages": [{"message": kept.message} for kept in there]}, 200


def _disposed(subscription: Subscription, body: Any) -> tuple[Any, int]:
    what = {"suspended": "dead-lettered"}.get(
        body["disposition-status"], body["disposition-status"]
    )
    reason = str(body.get("deadletter-reason", ""))
    held = [subscription.settle(token, what, reason) for token in _tokens(body)]
    return None, 200 if all(held) else 410


def _is_signed(token: Any, key: str) -> bool:
    fields = parse_qs(str(token).removeprefix("SharedAccessSignature "))
    try:
        (audience,), (signature,), (ends,) = fields["sr"], fields["sig"], fields["se"]
    except (KeyError, ValueError):
        return False
    signed = f"{quote_plus(audience)}\n{ends}".encode()
    digest = base64.b64encode(hmac.new(key.encode(), signed, sha256).digest()).decode()
    return hmac.compare_digest(digest, signature) and int(ends) > time.time()


if __name__ == "__main__":
    Container(Peer(json.loads(sys.argv[1]))).run()
