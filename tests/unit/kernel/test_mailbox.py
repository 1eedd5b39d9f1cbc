"""Mailboxes and asks: bounded, in order, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress

import pytest
from taskhub.kernel.mailbox import (
    ActorFailed,
    Ask,
    Mailbox,
    MailboxClosed,
    MailboxFull,
    answering,
)

from tests.unit.kernel.cast import Bug, Echo
from tests.waiting import turns

pytestmark = pytest.mark.virtual_clock


def test_post_never_waits_a_full_mailbox_refuses_at_once() -> None:
    """Overload is answered (503), it is not queued without end."""
    box: Mailbox[int] = Mailbox("box", limit=2)
    box.post(1)
    box.post(2)

    with pytest.raises(MailboxFull):
        box.post(3)

    assert (len(box), box.posted, box.refused) == (2, 2, 1)


async def test_take_gives_what_is_there_up_to_the_limit_in_order() -> None:
    """The batch grows by itself while the reader is busy: no timer, no linger."""
    box: Mailbox[int] = Mailbox("box")
    for number in range(5):
        box.post(number)

    assert await box.take(3) == [0, 1, 2]
    assert await box.take(3) == [3, 4]


async def test_take_waits_for_the_first_message_only() -> None:
    """A lone message waits for nobody."""
    box: Mailbox[int] = Mailbox("box")
    reader = asyncio.create_task(box.take(64))
    await turns()

    box.post(7)

    assert await reader == [7]


async def test_a_closed_mailbox_refuses_and_is_drained_before_it_ends() -> None:
    """A drain finishes what was accepted; `[]` says that there is no more."""
    box: Mailbox[int] = Mailbox("box")
    box.post(1)
    box.close()

    with pytest.raises(MailboxClosed):
        box.post(2)
    assert await box.take() == [1]
    assert await box.take() == []


async def test_closing_wakes_the_reader_who_waits() -> None:
    """A stop is not held up by an idle actor."""
    box: Mailbox[int] = Mailbox("box")
    reader = asyncio.create_task(box.take())
    await turns()

    box.close()

    assert await reader == []


async def test_a_held_mailbox_lets_its_reader_end_and_keeps_what_is_posted() -> None:
    """An actor that is replaced refuses nobody meanwhile."""
    box: Mailbox[int] = Mailbox("box")
    box.post(1)
    box.hold()
    box.post(2)

    assert await box.take() == []
    box.reopen()
    assert await box.take(8) == [1, 2]


async def test_a_cancelled_reader_loses_no_message() -> None:
    """What came as the actor was cancelled is there for its successor."""
    box: Mailbox[int] = Mailbox("box")
    reader = asyncio.create_task(box.take())
    await turns()

    box.post(1)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader

    assert await box.take() == [1]


async def test_a_second_reader_is_a_bug_that_says_so() -> None:
    """Two readers would steal each other's messages."""
    box: Mailbox[int] = Mailbox("box")
    reader = asyncio.create_task(box.take())
    await turns()

    with pytest.raises(RuntimeError, match="two readers"):
        await box.take()

    box.close()
    await reader


async def test_an_ask_is_answered_through_its_future() -> None:
    """A message may want an answer, and gets it once."""
    box: Mailbox[Echo] = Mailbox("box")
    reply = Echo("hello").sent_to(box)
    (ask,) = await box.take()

    ask.answer("hello")
    ask.answer("again")

    assert await reply == "hello"


async def test_what_is_unanswered_when_the_actor_dies_fails_at_once() -> None:
    """Nobody waits for ever, and what was answered before stays answered."""
    box: Mailbox[Echo] = Mailbox("box")
    first, second = Echo("a").sent_to(box), Echo("b").sent_to(box)
    asks = await box.take(2)

    with pytest.raises(Bug), answering(asks):  # noqa: PT012 - the block is what is tested
        asks[0].answer("a")
        raise Bug

    assert await first == "a"
    with pytest.raises(ActorFailed):
        await second


async def test_abandoned_asks_fail_at_once() -> None:
    """What nobody will read any more is answered too."""
    box: Mailbox[object] = Mailbox("box")
    box.post("no ask")
    reply = Echo("a").sent_to(box)

    box.close()
    box.abandon()

    with pytest.raises(MailboxClosed):
        await reply
    assert len(box) == 0


async def test_a_client_that_hangs_up_cancels_its_own_future_only() -> None:
    """The work goes on, and its answer finds nobody without an error."""
    box: Mailbox[Echo] = Mailbox("box")
    gone, stays = Echo("gone").sent_to(box), Echo("stays").sent_to(box)
    gone.cancel()

    for ask in await box.take(2):
        ask.answer(ask.word)

    assert gone.cancelled()
    assert await stays == "stays"


async def test_a_storm_of_hang_ups_floods_no_log() -> None:
    """An error that nobody reads is not reported by the loop."""
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    box: Mailbox[Echo] = Mailbox("box")
    for number in range(100):
        Echo(str(number)).sent_to(box)

    box.abandon()
    gc.collect()
    await turns()

    assert reports == []


async def test_an_ask_that_was_only_posted_wants_no_answer() -> None:
    """The same message serves those who wait and those who do not."""
    box: Mailbox[Ask[str]] = Mailbox("box")
    box.post(Echo("a"))
    (ask,) = await box.take()

    ask.answer("a")
    ask.fail(Bug())

    assert not hasattr(ask, "reply")
