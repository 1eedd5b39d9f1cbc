"""Spans of requests and attempts: whose children they are, and what they link to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from taskhub.attempts import Released
from taskhub.model import Lease, Status, TaskId
from taskhub.obs.tracing import Tracing, span_of
from taskhub.ports import Finish

from tests.unit.work import making

ID = TaskId("0198c2c8-0000-7000-8000-000000000001")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = int(PARENT[3:35], 16)


class Seen:
    """A tracing, and what it has sent."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing(self._exporter, "worker-1")

    def spans(self) -> list:
        """All of them, in the order of their ends."""
        self.tracing.provider.force_flush()
        return list(self._exporter.get_finished_spans())


@pytest.fixture
def seen() -> Iterator[Seen]:
    """One that is closed afterwards."""
    seen = Seen()
    yield seen
    seen.tracing.close()


def lease(fence: int = 1, trace_parent: str | None = PARENT) -> Lease:
    """A claimed task."""
    made = making.lease("resize", attempt=fence, task_id=ID)
    return msgspec.structs.replace(made, fence=fence, trace_parent=trace_parent)


def test_a_request_is_a_child_of_what_its_client_said(seen: Seen) -> None:
    """And what comes of it is a child of the request."""
    asked = seen.tracing.request("POST", "/tasks", PARENT)
    asked.end(201, "r-1")

    (span,) = seen.spans()
    assert (span.name, span.context.trace_id) == ("POST /tasks", TRACE)
    assert f"{span.parent.span_id:016x}" == PARENT[36:52]
    assert asked.trace_parent == f"{PARENT[:36]}{span.context.span_id:016x}-01"
    assert span.attributes["http.response.status_code"] == 201


@pytest.mark.parametrize("parent", [None, "", "00-nothing", PARENT.replace("-01", "")])
def test_without_a_good_parent_a_trace_begins(seen: Seen, parent: str | None) -> None:
    """A broken header is no reason to trace nothing."""
    seen.tracing.request("GET", "/tasks", parent).end(500, "r-1")

    (span,) = seen.spans()
    assert span.parent is None
    assert span.status.status_code is StatusCode.ERROR


def test_a_client_that_keeps_no_trace_is_heeded(seen: Seen) -> None:
    """Its decision goes on with the task: half a trace is of no use."""
    asked = seen.tracing.request("POST", "/tasks", f"{PARENT[:-2]}00")
    asked.end(201, "r-1")
    with seen.tracing.attempt(lease(trace_parent=asked.trace_parent)):
        pass

    assert asked.trace_parent.endswith("-00")
    assert seen.spans() == []


def test_an_attempt_links_to_the_one_before(seen: Seen) -> None:
    """Which may have run elsewhere: nothing is kept of its span but what both can compute."""
    for fence in (1, 2):
        with seen.tracing.attempt(lease(fence)) as span:
            span.ended(Finish(id=ID, fence=fence, status=Status.PENDING, error="no paint"))

    first, second = seen.spans()
    assert (first.name, first.links) == ("process resize", ())
    assert first.context.span_id == span_of(ID, 1)
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert first.parent.span_id == second.parent.span_id
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "no paint")
    assert first.attributes["messaging.message.id"] == ID


def test_a_task_without_a_trace_has_its_own(seen: Seen) -> None:
    """Whoever knows the task finds it."""
    for fence in (1, 2):
        with seen.tracing.attempt(lease(fence, trace_parent=None)) as span:
            span.ended(Released())

    spans = seen.spans()
    assert {f"{span.context.trace_id:032x}" for span in spans} == {ID.replace("-", "")}
    assert spans[1].links[0].context.span_id == spans[0].context.span_id
    assert spans[1].links[0].context.trace_id == spans[0].context.trace_id
    assert spans[0].attributes["taskhub.outcome"] == "Released"


@pytest.mark.parametrize("parent", [PARENT, None])
def test_what_a_child_process_makes_is_inside_the_span_that_its_worker_makes(
    seen: Seen, parent: str | None
) -> None:
    """Nothing need be handed over: both know the task."""
    one = lease(2, trace_parent=parent)
    tracer = seen.tracing.provider.get_tracer("mine")
    with seen.tracing.within(one), tracer.start_as_current_span("chiselling"):
        pass
    with seen.tracing.attempt(one):
        pass

    chiselling, attempt = seen.spans()
    assert chiselling.context.trace_id == attempt.context.trace_id
    assert chiselling.parent.span_id == attempt.context.span_id


@pytest.mark.parametrize(("parent", "ratio"), [(f"{PARENT[:-2]}00", 1.0), (None, 0.0)])
def test_of_a_trace_that_is_not_kept_a_child_process_keeps_nothing(
    parent: str | None, ratio: float
) -> None:
    """It decides as its worker does."""
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter, "worker-1", ratio)
    tracer = tracing.provider.get_tracer("mine")
    with tracing.within(lease(trace_parent=parent)), tracer.start_as_current_span("chiselling"):
        pass
    tracing.close()

    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize("status", [200, 503])
def test_a_call_to_another_host_is_a_span_of_the_task_at_hand(seen: Seen, status: int) -> None:
    """The other host is told its id, nobody the path: there may be a secret in it."""
    with seen.tracing.attempt(lease()), seen.tracing.call("POST", "https://other") as called:
        called.answered(status)

    call, attempt = seen.spans()
    assert (call.name, call.parent.span_id) == ("POST", attempt.context.span_id)
    assert called.trace_parent == f"{PARENT[:36]}{call.context.span_id:016x}-01"
    assert call.attributes["http.response.status_code"] == status
    assert (call.status.status_code is StatusCode.ERROR) == (status == 503)


def test_off_it_is_not_even_imported() -> None:
    """It would cost every process 10 MB."""
    names = "taskhub.app.root, taskhub.app.child, taskhub.app.working, taskhub.app.serving"
    check = f"import sys, {names}; sys.exit('opentelemetry' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
