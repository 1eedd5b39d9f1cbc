"""What a handler can do with its Job."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from taskhub import Job, handler
from taskhub.attempts import StopReason
from taskhub.model import Parent, Status
from taskhub.obs.telemetry import HandlerRaised, HandlerSaid
from taskhub.ports import Finish, Progress
from taskhub.work.executor import PROGRESS_EVERY
from taskhub.work.job import FIELD_LIMIT, FIELDS_LIMIT, TEXT_LIMIT

from tests.unit.work.making import TASK, Heard, attempt, running
from tests.virtual_clock import VirtualLoop
from tests.waiting import turns


async def _run(function: object, heard: Heard, **more: object) -> None:
    with running(function, heard=heard) as runner:  # type: ignore[arg-type]
        ended = await runner.run(attempt(**more))  # type: ignore[arg-type]
        await turns()
    assert isinstance(ended, Finish)
    assert ended.status is Status.DONE, ended.error


def _said(reports: list[Progress]) -> list[float]:
    return [msgspec.json.decode(report.data)["fraction"] for report in reports]


async def test_a_job_knows_its_task_its_attempt_and_its_limits(virtual_loop: VirtualLoop) -> None:
    """All that a handler may want to act by."""
    seen = []

    @handler("job")
    async def looks(job: Job) -> None:
        await asyncio.sleep(4)  # noqa: TID251 - virtual time
        seen.extend([job.task.id, job.attempt, job.fence, job.cancelled, job.remaining])
        seen.append(job.deadline - job.remaining)

    await _run(looks, Heard(), attempt=3, timeout=10)

    assert seen == [TASK, 3, 7, False, pytest.approx(6), pytest.approx(virtual_loop.time())]


async def test_a_job_has_what_the_tasks_have_made_that_it_is_after() -> None:
    """Nothing is asked for: it came with the task."""
    seen: list[object] = []
    parents = (Parent(id=TASK, status=Status.DONE, result=msgspec.Raw(b"7")),)
    given = attempt()
    given.lease = msgspec.structs.replace(given.lease, parents=parents)

    @handler("job")
    def looks(job: Job) -> None:
        seen.extend(job.parents)

    with running(looks, heard=Heard()) as runner:
        await runner.run(given)

    assert seen == list(parents)


async def test_time_that_is_over_is_nothing_not_less() -> None:
    """`remaining` goes into other timeouts."""
    seen = []

    @handler("job")
    async def looks(job: Job) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.extend([job.remaining, job.cancelled])

    await _run(looks, Heard(), timeout=0.001)

    assert seen == [0.0, True]


def _logs(job: Job) -> None:
    job.log.debug("d")
    job.log.info("i", width=640, url="x")
    job.log.warning("w")
    job.log.error("e")


@handler("job")
async def _logs_in_loop(job: Job) -> None:
    _logs(job)


@handler("job")
def _logs_in_thread(job: Job) -> None:
    _logs(job)


@pytest.mark.parametrize("function", [_logs_in_loop, _logs_in_thread])
async def test_a_line_of_the_log_bears_task_and_attempt(function: object) -> None:
    """And is told in the loop's thread, wherever it was said."""
    threads: set[int] = set()
    heard = Heard()
    heard.events = _Watched(threads)

    await _run(function, heard, attempt=2)

    lines = [event for event in heard.events if isinstance(event, HandlerSaid)]
    assert [(line.severity, line.text) for line in lines] == [
        ("Debug", "d"),
        ("Information", "i"),
        ("Warning", "w"),
        ("Error", "e"),
    ]
    assert {(line.task_id, line.attempt) for line in lines} == {(TASK, 2)}
    assert lines[1].fields == {"width": "640", "url": "x"}
    assert threads == {threading.get_ident()}


class _Watched(list):
    """Notes which threads append."""

    def __init__(self, threads: set[int]) -> None:
        self.threads = threads

    def append(self, event: object) -> None:
        self.threads.add(threading.get_ident())
        super().append(event)


async def test_a_line_is_never_longer_than_its_limits() -> None:
    """A handler that logs a whole response must not fill the disk by one line."""
    heard = Heard()

    @handler("job")
    async def shouts(job: Job) -> None:
        fields = {f"field{number}": "x" * 10_000 for number in range(100)}
        job.log.info("x" * 100_000, **fields)

    await _run(shouts, heard)

    (line,) = heard.events
    assert isinstance(line, HandlerSaid)
    assert (len(line.text), len(line.fields)) == (TEXT_LIMIT, FIELDS_LIMIT)
    assert {len(value) for value in line.fields.values()} == {FIELD_LIMIT}


@pytest.mark.virtual_clock
async def test_of_many_reports_in_a_second_the_latest_is_handed_on() -> None:
    """The first at once, so that a bar appears; the last before the end, so that it is full."""
    heard = Heard()

    @handler("job")
    async def reports(job: Job) -> None:
        for step in range(21):
            job.progress(step / 20)
            await asyncio.sleep(PROGRESS_EVERY * 0.13)  # noqa: TID251 - virtual time

    await _run(reports, heard)

    assert _said(heard.reports) == [0.0, 0.35, 0.75, 1.0]
    assert {(report.id, report.fence) for report in heard.reports} == {(TASK, 7)}


async def test_the_last_report_comes_before_the_end() -> None:
    """After the outcome is written nobody would take it any more."""
    heard, seen = Heard(), []

    @handler("job")
    async def reports(job: Job) -> None:
        job.progress(0.5, "half")

    with running(reports, heard=heard) as runner:
        await runner.run(attempt())
        seen += heard.reports

    assert [msgspec.json.decode(report.data) for report in seen] == [
        {"fraction": 0.5, "text": "half"}
    ]


async def test_a_thread_may_report_too() -> None:
    """A `def` handler has the same job."""
    heard = Heard()

    @handler("job")
    def reports(job: Job) -> None:
        job.progress(0.25)

    await _run(reports, heard)

    assert _said(heard.reports) == [0.25]


@pytest.mark.parametrize(("fraction", "kept"), [(-1, 0.0), (2, 1.0), (True, 1.0)])
async def test_a_fraction_is_kept_between_nothing_and_all(fraction: float, kept: float) -> None:
    """Rounding errors of a handler are no reason to fail it."""
    heard = Heard()

    @handler("job")
    async def reports(job: Job) -> None:
        job.progress(fraction)

    await _run(reports, heard)

    assert _said(heard.reports) == [kept]


async def test_a_fraction_that_is_no_number_is_a_mistake_of_the_handler() -> None:
    """JSON could not say it."""
    heard = Heard()

    @handler("job")
    async def reports(job: Job) -> None:
        job.progress(float("nan"))

    with running(reports, heard=heard) as runner:
        await runner.run(attempt())

    (event,) = heard.events
    assert isinstance(event, HandlerRaised)
    assert heard.reports == []


async def test_a_stopped_job_says_so_to_whoever_looks() -> None:
    """Also to a helper that was only given the job."""
    jobs: list[Job] = []

    @handler("job")
    async def waits(job: Job) -> None:
        jobs.append(job)
        await asyncio.Event().wait()

    one = attempt()
    with running(waits) as runner:
        task = asyncio.create_task(runner.run(one))
        await turns()
        assert not jobs[0].cancelled
        runner.stop(one, StopReason.CANCEL)
        assert jobs[0].cancelled
        await task


async def test_data_is_told_with_the_progress() -> None:
    """It says where the next attempt may go on."""
    heard = Heard()

    @handler("job")
    async def reports(job: Job) -> None:
        job.progress(0.5, "half", {"page": 7, "name": "Gr\u00f6\u00dfe"})

    await _run(reports, heard)

    (report,) = heard.reports
    assert msgspec.json.decode(report.data) == {
        "fraction": 0.5,
        "text": "half",
        "data": {"page": 7, "name": "Gr\u00f6\u00dfe"},
    }


@pytest.mark.parametrize("data", ["x" * 4_096, object(), {1: {2, object()}}])
async def test_data_that_cannot_be_kept_is_a_mistake_of_the_handler(data: object) -> None:
    """What was told before stays; nothing is cut in two."""
    heard, refused = Heard(), []

    @handler("job")
    async def reports(job: Job) -> None:
        job.progress(0.5, data=1)
        try:
            job.progress(0.6, data=data)
        except ValueError as error:
            refused.append(str(error))

    await _run(reports, heard)

    assert refused[0].startswith("progress: the data ")
    assert _said(heard.reports) == [0.5]


@pytest.mark.parametrize(
    ("told", "saved"),
    [(None, None), (b'{"fraction":1,"text":""}', None), (b'{"data":[7]}', [7]), (b"7", None)],
)
async def test_an_attempt_finds_what_the_one_before_has_saved(
    told: bytes | None, saved: object
) -> None:
    """Progress is kept over retries; an external worker may have told it."""
    found = []

    @handler("job")
    async def looks(job: Job) -> None:
        found.append(job.saved)

    await _run(looks, Heard(), progress=told)

    assert found == [saved]
