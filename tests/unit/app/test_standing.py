"""How much runs and waits, as systemd is told."""

from __future__ import annotations

import pytest
from taskhub.app.standing import figures
from taskhub.kernel.host import Host
from taskhub.kernel.notify import Notifier
from taskhub.model import Status
from taskhub.ports import QueueCount


def counted(queue: str, status: Status, count: int) -> QueueCount:
    """One row of what a store counts."""
    return QueueCount(queue=queue, status=status, count=count, oldest=0.0)


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        ((0, 0), "3 running, 342 waiting"),
        ((1, 1), "3 running, 342 waiting, 1 worker"),
        ((2, 2), "3 running, 342 waiting, 2 workers"),
        ((1, 2), "3 running, 342 waiting, 1 of 2 workers"),
    ],
)
def test_all_queues_are_added_up_and_workers_counted(workers: tuple[int, int], told: str) -> None:
    """A worker that is missing is seen at a glance."""
    counts = [
        counted("default", Status.PENDING, 340),
        counted("default", Status.PROCESSING, 3),
        counted("webhooks", Status.PENDING, 2),
    ]

    assert figures(counts, workers) == told


class Ears(Notifier):
    """Systemd, as far as it hears of a status."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def status(self, text: str) -> None:
        """Keep it."""
        self.heard.append(text)


def test_systemd_hears_of_figures_only_when_they_have_changed() -> None:
    """Beside who we are and what is in doubt."""
    host, ears = Host("tree"), Ears()
    host.status, host.notifier = "ready", ears

    for text in ("1 running", "1 running", "2 running"):
        host.figure(text)
    host.doubt("waits for a restart: http.port")

    assert ears.heard == [
        "ready; 1 running",
        "ready; 2 running",
        "ready; 2 running; waits for a restart: http.port",
    ]
