"""One exposition of many: valid for Prometheus, and nobody's series lost."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import subprocess
from collections.abc import Sequence

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as modern
from taskhub.errors import StoreLocked
from taskhub.obs import telemetry as t
from taskhub.obs.exposition import KEEP, Exposition
from taskhub.obs.merge import classic, merge, of_unit
from taskhub.obs.metrics import MetricsListener, render

from tests.unit.obs.examples import EXAMPLES

UNITS = ("tree", "api-1", "worker-1", "worker-2")


def listener(unit: str) -> MetricsListener:
    """A process that has heard every event."""
    made = MetricsListener(unit)
    for event in EXAMPLES:
        made(event)
    made.sample()
    return made


def expositions() -> list[bytes]:
    """Those of a whole tree."""
    return [render(listener(unit).registry) for unit in UNITS]


def series(text: bytes) -> list[bytes]:
    """The names and labels of all samples."""
    lines = [line for line in classic(text).splitlines() if not line.startswith(b"#")]
    return [line.rpartition(b" ")[0] for line in lines]


def test_every_series_of_everybody_is_there_once() -> None:
    """Nothing is added up, nothing is lost."""
    parts = expositions()

    merged = series(merge(parts))

    assert sorted(merged) == sorted(name for part in parts for name in series(part))
    assert len(merged) == len(set(merged))


def test_each_family_is_announced_once() -> None:
    """Prometheus refuses a second TYPE of one name."""
    heads = [line for line in merge(expositions()).splitlines() if line.startswith(b"#")]

    assert len(heads) == len(set(heads)) > 0


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_mend() -> None:
    """The whole tree's exposition is as clean as one process's."""
    check = ["promtool", "check", "metrics"]

    told = subprocess.run(
        check, input=classic(merge(expositions())), check=False, capture_output=True
    )

    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


def test_it_is_openmetrics() -> None:
    """The strict parser finds every series, and the exemplars of each process."""
    merged = merge(expositions())

    samples = [
        sample
        for family in modern(merged.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
    ]
    told = {sample.labels["unit"] for sample in samples if sample.exemplar}

    assert {sample.name for sample in samples} == {
        name.partition(b"{")[0].decode() for name in series(merged)
    }
    assert told == set(UNITS)


def test_one_unit_can_be_looked_at_alone() -> None:
    """All of its series and nobody else's; of a name that nobody has, nothing."""
    merged = merge(expositions())

    assert series(of_unit(merged, "api-1")) == series(merge(expositions()[1:2]))
    assert of_unit(merged, "api") == of_unit(merged, ".*") == b"# EOF\n"


def test_an_exemplar_is_no_part_of_the_series() -> None:
    """It differs at each look; and what only looks like one stays where it is."""
    head = b"# HELP a x\n# TYPE a histogram\n"
    odd = b'a_bucket{le="1",type="x # {t=\\"1\\"} 1.0 2.0",unit="w"} 3.0'
    seen = b'a_bucket{le="1",type="y",unit="w"} 3.0'
    first, second = (b' # {trace_id="%d"} 0.5 17.125' % number for number in (1, 2))

    text = head + odd + b"\n" + seen + first + b"\n"
    merged = merge([text, head + seen + second + b"\n"])

    assert merged == text + b"# EOF\n"
    assert classic(merged) == head + odd + b"\n" + seen + b"\n"


def test_of_two_equal_series_the_first_is_kept() -> None:
    """Two processes of one name (a restart in a hurry) must not make the whole scrape invalid."""
    head = b"# HELP a x\n# TYPE a counter\n"

    merged = merge([head + b'a_total{unit="w"} 1.0\n', head + b'a_total{unit="w"} 2.0\n'])

    assert merged == head + b'a_total{unit="w"} 1.0\n# EOF\n'


def test_versions_that_disagree_on_a_type_do_not_mix() -> None:
    """While an upgrade rolls, the family of the first speaker stands."""
    old = b'# HELP a x\n# TYPE a gauge\na{unit="1"} 1.0\n'
    new = b'# HELP a x\n# TYPE a counter\na{unit="2"} 1.0\n'

    assert merge([old, new]) == old + b"# EOF\n"


@pytest.mark.parametrize("noise", [b"", b"\n", b"garbage", b"# EOF\n", b"# HELP\n# TYPE"])
def test_noise_of_a_dying_process_changes_nothing(noise: bytes) -> None:
    """Half an answer, or none, leaves the others as they are."""
    good = expositions()[0]

    assert merge([good, noise]) == merge([good])


def test_a_value_that_looks_like_a_head_stays_a_value() -> None:
    """Labels are strangers' texts."""
    line = b'a{queue="x# HELP a y",unit="1"} 1.0\n'
    text = b"# HELP a x\n# TYPE a gauge\n" + line

    assert merge([text]) == text + b"# EOF\n"


class Others:
    """Other processes that are asked, and how often."""

    def __init__(self, *answers: bytes) -> None:
        """They answer so."""
        self.answers, self.asked = answers, 0

    async def __call__(self) -> Sequence[bytes]:
        """Answer."""
        self.asked += 1
        return self.answers


async def test_an_exposition_is_the_whole_trees() -> None:
    """Own metrics and those of the others."""
    others = Others(*expositions()[1:])

    body = await Exposition(listener("tree"), others).body()

    assert sorted(series(body)) == sorted(series(merge(expositions())))


async def test_many_scrapers_cost_as_much_as_one() -> None:
    """For a second the same answer is given again, in whatever form."""
    now, others = [0.0], Others()
    exposition = Exposition(MetricsListener("tree"), others, lambda: now[0])

    plain = await exposition.body()
    zipped = await exposition.body(zipped=True)
    newer = await exposition.body(as_openmetrics=True)
    again = await exposition.body(zipped=True)
    asked = others.asked
    now[0] += KEEP
    await exposition.body()

    assert asked == 1
    assert gzip.decompress(zipped) == plain
    assert again is zipped
    assert newer.endswith(b"# EOF\n")
    assert plain == classic(newer)
    assert others.asked == 2


@pytest.mark.virtual_clock
async def test_others_that_do_not_answer_are_left_out() -> None:
    """Half a picture is better than none: our own metrics come all the same."""

    async def never() -> Sequence[bytes]:
        await asyncio.Event().wait()
        return ()

    async def refused() -> Sequence[bytes]:
        raise ConnectionRefusedError

    async def locked() -> Sequence[bytes]:
        raise StoreLocked

    bodies = [
        await Exposition(listener("tree"), gather).body() for gather in (never, refused, locked)
    ]

    assert all(b'taskhub_heartbeats_total{unit="tree"} 1.0' in body for body in bodies)


async def test_what_happens_while_it_renders_is_not_lost() -> None:
    """The loop goes on counting, new series too, while a thread reads."""
    own = listener("tree")
    exposition = Exposition(own, clock=lambda: 0.0)

    body = await exposition.body()
    own(t.TaskProcessed(task_id="x", type="new", queue="q", attempt=1, duration=1, result="failed"))

    assert b'type="new"' not in body
    assert b'type="new"' in render(own.registry)
