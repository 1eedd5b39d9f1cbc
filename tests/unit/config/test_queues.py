"""`[work.limits.NAME]`: from the file to what a claim must keep to."""

from __future__ import annotations

from pathlib import Path

import pytest
from taskhub.config import snapshot
from taskhub.config.diff import How, changes
from taskhub.config.load import Loaded, load
from taskhub.config.queues import limit_of, limits_of
from taskhub.errors import ConfigError
from taskhub.queues import QueueLimit
from taskhub.rates import Rate

IMAGES = """
[work.limits.images]
concurrency = 8
rate = "100/minute"
key_concurrency = 2
key_rate = "10/second"
[work.limits.Mail_2]
key_concurrency = 1
"""


def read(folder: Path, text: str = IMAGES) -> Loaded:
    """The configuration of a file with this text."""
    path = folder / "supervisor.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, {})


def test_limits_are_a_table_for_each_queue(folder: Path) -> None:
    """What is not said is no limit; a child of the root reads the same."""
    work = read(folder).config.work
    images = QueueLimit(
        queue="images",
        concurrency=8,
        rate=Rate(100, 60),
        key_concurrency=2,
        key_rate=Rate(10, 1),
    )

    assert limits_of(work) == (images, QueueLimit(queue="Mail_2", key_concurrency=1))
    assert limit_of(work, "images") == images
    assert limit_of(work, "other") is None
    assert snapshot.decode(snapshot.encode(read(folder).config)).work == work


def test_a_reload_changes_them_in_place(folder: Path) -> None:
    """Also those of a queue that had none."""
    old = read(folder).config
    new = read(folder, IMAGES.replace("= 8", "= 9") + "[work.limits.new]\nconcurrency = 1\n").config

    found = {change.key: change.how for change in changes(old, new)}

    assert found["work.limits.images.concurrency"] is How.IN_PLACE
    assert found["work.limits.new.concurrency"] is How.IN_PLACE
    assert set(found.values()) == {How.IN_PLACE}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (IMAGES.replace("100/minute", "100 a minute"), "work.limits.images.rate: expected 1 to"),
        (IMAGES.replace("= 8", "= -1"), "work.limits.images.concurrency"),
        (IMAGES.replace("key_rate", "keyrate"), "work.limits.images.keyrate"),
        ("[work.limits.-odd]\nconcurrency = 1\n", "expected a queue's name"),
    ],
)
def test_slips_are_named(folder: Path, text: str, said: str) -> None:
    """With their key, before anything runs."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text)

    assert any(said in problem.detail for problem in caught.value.problems)
