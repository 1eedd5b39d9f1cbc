"""Spans of requests and attempts by OpenTelemetry; imported only where `[tracing]` asks for it.

An attempt's span has an id that follows from its task and fence, so that the next attempt can name
it as its link although nothing is kept of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status as SpanStatus
from opentelemetry.trace.status import StatusCode

from taskhub.model import Lease, Status, TaskId, trace_id_of
from taskhub.obs.start import app_of
from taskhub.ports import Finish

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

    from taskhub.config.sections import TracingSection

LAST_WORDS = 2_000  # milliseconds for what is not sent when the process ends
PATIENCE = 5.0  # seconds for one sending
CLIENT_ERROR, SERVER_ERROR = 400, 500
_CONTEXT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class _Ids(RandomIdGenerator):
    """Random ids, but where the span that is made now is to have known ones."""

    def __init__(self) -> None:
        self.trace: ContextVar[int] = ContextVar("trace", default=0)
        self.span: ContextVar[int] = ContextVar("span", default=0)

    def generate_trace_id(self) -> int:
        return self.trace.get() or super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.span.get() or super().generate_span_id()


class Asked:
    """A request in a trace: `trace_parent` is what comes of it goes on with."""

    __slots__ = ("_span", "trace_parent")

    def __init__(self, span: trace.Span) -> None:
        self._span, self.trace_parent = span, written(span.get_span_context())

    def end(self, status: int, request_id: str) -> None:
        """It is answered with this status."""
        self._span.set_attribute("http.response.status_code", status)
        self._span.set_attribute("taskhub.request_id", request_id)
        if status >= SERVER_ERROR:
            self._span.set_status(SpanStatus(StatusCode.ERROR))
        self._span.end()


class Done:
    """An attempt in a trace."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def ended(self, what: object) -> None:
        """This came of it; what is not stored as done is an error, or was given back."""
        outcome = what.status.value if isinstance(what, Finish) else type(what).__name__
        self._span.set_attribute("taskhub.outcome", outcome)
        if isinstance(what, Finish) and what.status is not Status.DONE:
            self._span.set_status(SpanStatus(StatusCode.ERROR, what.error or outcome))


class Called:
    """A request of ours to another host, in a trace: `trace_parent` is what it is told."""

    __slots__ = ("_span", "trace_parent")

    def __init__(self, span: trace.Span) -> None:
        self._span, self.trace_parent = span, written(span.get_span_context())

    def answered(self, status: int) -> None:
        """It has answered with this status."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= CLIENT_ERROR:
            self._span.set_status(SpanStatus(StatusCode.ERROR))


class Tracing:
    """Makes spans until `close`; sending them never holds anybody up."""

    def __init__(self, exporter: SpanExporter, unit: str, ratio: float = 1.0) -> None:
        """Be the process's tracing: handlers that make spans of their own make them here."""
        self._ids = _Ids()
        self._sampler = TraceIdRatioBased(ratio)
        self.provider = TracerProvider(
            sampler=ParentBased(self._sampler),
            resource=_resource(unit),
            id_generator=self._ids,
        )
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("taskhub")

    def request(self, method: str, route: str, parent: str | None) -> Asked:
        """Begin the span of a request; `parent` is its `traceparent`, if it has a good one."""
        attributes = {"http.request.method": method, "http.route": route}
        span = self._tracer.start_span(
            f"{method} {route}",
            context=_context(parent),
            kind=SpanKind.SERVER,
            attributes=attributes,
        )
        return Asked(span)

    @contextmanager
    def attempt(self, lease: Lease) -> Iterator[Done]:
        """The span of an attempt, which spans of the handler's own belong to."""
        span = self._begun(lease)
        with trace.use_span(span, end_on_exit=True, record_exception=False):
            yield Done(span)

    @contextmanager
    def within(self, lease: Lease) -> Iterator[None]:
        """As inside the span of an attempt that another process of ours makes."""
        item = lease.item
        parent = _context(lease.trace_parent)
        context = trace.get_current_span(parent).get_span_context()
        whole = context.trace_id or UUID(item.id).int
        flags = context.trace_flags if context.is_valid else self._flags(whole)
        span = SpanContext(whole, span_of(item.id, lease.fence), is_remote=True, trace_flags=flags)
        with trace.use_span(NonRecordingSpan(span)):
            yield

    def _flags(self, whole: int) -> TraceFlags:
        """Whether a trace that begins here is kept; the same everywhere."""
        decision = self._sampler.should_sample(None, whole, "").decision
        is_kept = decision is Decision.RECORD_AND_SAMPLE
        return TraceFlags(TraceFlags.SAMPLED if is_kept else TraceFlags.DEFAULT)

    @contextmanager
    def call(self, method: str, origin: str) -> Iterator[Called]:
        """The span of a request that is sent for the task at hand; of its URL the host alone."""
        host = urlsplit(origin)
        attributes: dict[str, Any] = {"http.request.method": method}
        attributes |= {"server.address": host.hostname or "", "server.port": _port(host)}
        span = self._tracer.start_span(method, kind=SpanKind.CLIENT, attributes=attributes)
        with trace.use_span(span, end_on_exit=True, record_exception=False):
            yield Called(span)

    def _begun(self, lease: Lease) -> trace.Span:
        item, ids = lease.item, self._ids
        made = ids.trace.set(UUID(item.id).int), ids.span.set(span_of(item.id, lease.fence))
        try:
            return self._tracer.start_span(
                f"process {item.type}",
                context=_context(lease.trace_parent),
                kind=SpanKind.CONSUMER,
                attributes=_attributes(lease),
                links=_links(lease),
            )
        finally:
            ids.trace.reset(made[0])
            ids.span.reset(made[1])

    def close(self) -> None:
        """Send what is left, within a moment."""
        with suppress(Exception):  # whoever takes spans may be away: nothing of ours depends on it
            self.provider.force_flush(LAST_WORDS)
        self.provider.shutdown()


def open_tracing(section: TracingSection, unit: str) -> Tracing:
    """The tracing that `[tracing]` describes, known to the libraries of handlers too."""
    tracing = Tracing(_exporter(section), unit, section.ratio)
    trace.set_tracer_provider(tracing.provider)
    return tracing


def _exporter(section: TracingSection) -> SpanExporter:
    if section.exporter == "azure":
        from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter

        exporter: SpanExporter = AzureMonitorTraceExporter(
            connection_string=section.connection_string.reveal(), disable_offline_storage=True
        )
        return exporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=section.endpoint, timeout=PATIENCE)


def span_of(task: TaskId, fence: int) -> int:
    """The id of the span of a task's attempt: 64 bits, never 0."""
    digest = hashlib.blake2b(f"{task}/{fence}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) or 1


def written(context: SpanContext) -> str:
    """The W3C form."""
    flags = context.trace_flags & TraceFlags.SAMPLED
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"


def _context(trace_parent: str | None) -> Context:
    """The context of a `traceparent`; an empty one where there is none."""
    found = None if trace_parent is None else _CONTEXT.fullmatch(trace_parent)
    if found is None:
        return trace.set_span_in_context(trace.INVALID_SPAN)
    ids = SpanContext(
        int(found[1], 16),
        int(found[2], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(found[3], 16)),
    )
    return trace.set_span_in_context(NonRecordingSpan(ids))


def _port(host: SplitResult) -> int:
    return host.port or (443 if host.scheme == "https" else 80)


def _links(lease: Lease) -> Sequence[Link]:
    """The attempt before this one, where there was one."""
    if lease.fence <= 1:
        return ()
    task = lease.item.id
    whole = int(trace_id_of(lease.trace_parent) or UUID(task).hex, 16)
    before = SpanContext(
        whole, span_of(task, lease.fence - 1), is_remote=True, trace_flags=TraceFlags(1)
    )
    return (Link(before, {"taskhub.link": "the attempt before"}),)


def _attributes(lease: Lease) -> dict[str, Any]:
    item = lease.item
    return {
        "messaging.system": "taskhub",
        "messaging.operation.type": "process",
        "messaging.destination.name": item.queue,
        "messaging.message.id": item.id,
        "taskhub.task.type": item.type,
        "taskhub.task.attempt": item.attempts,
    }


def _resource(unit: str) -> Resource:
    return Resource.create(
        {
            "service.name": app_of(unit),
            "service.instance.id": unit,
            "service.version": version("taskhub"),
        }
    )
