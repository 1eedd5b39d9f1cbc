"""Controls: each guard is taken out of the store, and the suite must see it; else it is blind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from taskhub.model import Status
from taskhub.queues import Line

from tests.conformance.store import test_acts as acts
from tests.conformance.store import test_claiming as claiming
from tests.conformance.store import test_failures as failures
from tests.conformance.store import test_firing as firing
from tests.conformance.store import test_following as following
from tests.conformance.store import test_outcomes as outcomes
from tests.conformance.store import test_pausing as pausing
from tests.conformance.store import test_schedules as schedules
from tests.conformance.store import test_takeover as takeover
from tests.conformance.store import test_turns as turns
from tests.conformance.store import test_unique as unique
from tests.conformance.store.backend import Backend, Hands
from tests.conformance.store.backends import BACKENDS
from tests.conformance.store.test_against_model import explore
from tests.conformance.store.timetable import Timetable
from tests.conformance.store.world import World

Seen = Callable[[World], Awaitable[None]]
WRONG = (AssertionError, LookupError, ValueError)
"""How a test fails, its own words among them: an answer that should be there and is not."""


def on_schedules(test: Callable[..., Awaitable[None]], *more: object) -> Seen:
    """A test that sees the world through its schedules."""
    return lambda world: test(world, Timetable(world), *more)


FENCE = "AND Tasks.Fence = {}.value ->> 1"

BROKEN: dict[str, dict[str, tuple[str, str, str, Seen]]] = {
    "sqlite": {
        "finish by id": (
            "finish",
            FENCE.format("ended"),
            "",
            outcomes.test_a_finish_under_an_old_fence_changes_nothing,
        ),
        "finish whatever the status": (
            "finish",
            "AND Tasks.Status = 'Processing'",
            "",
            outcomes.test_a_second_finish_changes_nothing,
        ),
        "a child is let go too early": (
            "decide",
            "NOT EXISTS (SELECT 1 FROM Waits WHERE TaskId = heir.Id AND EndedAs IS NULL)",
            "1",
            following.test_a_task_waits_for_all_that_it_is_after,
        ),
        "a failure does not matter": (
            "decide",
            "one.After LIKE 'fail %'",
            "0",
            partial(following.test_what_follows_a_failure_ends_as_it_does, how=Status.FAILED),
        ),
        "a failure always matters": (
            "decide",
            "one.After LIKE 'fail %'",
            "1",
            following.test_one_that_continues_runs_whatever_has_become_of_the_others,
        ),
        "a retried child does not wait again": (
            "hold_again",
            "Suspect < 4",
            "0",
            following.test_after_a_retry_of_all_the_child_waits_again,
        ),
        "a parent goes while its child lives": (
            "prune_tasks",
            "heir.Status IN ('Pending', 'Processing')",
            "0",
            following.test_a_parent_stays_while_a_task_that_is_after_it_lives,
        ),
        "finish forgets the cancel": (
            "finish",
            "WHEN CancelRequested AND :status IN ('Pending', 'Failed')",
            "WHEN 0",
            partial(
                outcomes.test_a_cancel_that_was_asked_for_wins_over_a_failure, asked=Status.FAILED
            ),
        ),
        "progress by id": (
            "progress",
            FENCE.format("news"),
            "",
            outcomes.test_progress_is_kept_for_the_holder_only,
        ),
        "renew by id": (
            "renew",
            "AND Tasks.Status = 'Processing'",
            "",
            outcomes.test_a_renewal_keeps_a_lease,
        ),
        "claim without a fence": (
            "claim",
            "Fence = Fence + 1, ",
            "",
            claiming.test_the_fence_only_grows,
        ),
        "claim what is not due": (
            "due",
            "AND RunAt <= :now",
            "",
            claiming.test_a_delayed_task_waits_until_it_is_due,
        ),
        "claim from paused queues": (
            "due",
            "AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = InQueue AND Paused)",
            "",
            claiming.test_a_paused_queue_waits,
        ),
        "sweep our own running tasks": (
            "sweep",
            "AND Id NOT IN (SELECT value FROM json_each(:held))",
            "",
            takeover.test_our_own_expired_lease_is_freed_when_its_handler_has_ended,
        ),
        "sweep living owners": (
            "sweep",
            "3 * :lease",
            "0",
            takeover.test_a_living_owner_keeps_its_tasks_for_four_leases,
        ),
        "takeover charges everybody": (
            "free",
            "Attempts - NOT (lost.value ->> 1)",
            "Attempts",
            takeover.test_a_dead_owners_tasks_are_free_at_once,
        ),
        "failures of late workers are kept": (
            "failed",
            FENCE.format("failed"),
            "",
            failures.test_a_stale_failure_is_not_kept,
        ),
        "late workers take traces away": (
            "drop_traces",
            "AND Newest.Fingerprint = Attempts.Fingerprint",
            "",
            failures.test_a_late_failure_takes_no_trace_away,
        ),
        "what was cancelled has failed": (
            "failed",
            "AND NOT CancelRequested",
            "",
            failures.test_after_a_wish_to_cancel_nothing_is_a_failure,
        ),
        "failures are kept for ever": (
            "failed",
            "% :kept",
            "+ 0 * :kept",
            failures.test_no_task_keeps_more_than_its_last_failures,
        ),
        "neighbours of a dead worker's task have failed": (
            "lost",
            "WHERE lost.value ->> 1 AND",
            "WHERE",
            failures.test_a_dead_worker_is_a_failure_of_what_it_had_begun,
        ),
        "a success keeps its fingerprint": (
            "finish",
            "CASE :status WHEN 'Done' THEN '' ELSE coalesce(ended.value ->> 5, '') END",
            "Fingerprint",
            failures.test_success_takes_the_fingerprint_away,
        ),
        "groups of the same time are lost between pages": (
            "failure_groups",
            "OR (LastAt = :last AND (Mark, OfType) > (:mark, :of))",
            "",
            failures.test_groups_come_page_by_page,
        ),
        "cancel what has ended": (
            "cancel",
            "AND Status IN ('Pending', 'Processing')",
            "",
            partial(acts.test_an_ended_task_cannot_be_cancelled, end=Status.DONE),
        ),
        "keys never expire": (
            "known_keys",
            "WHERE known.ExpiresAt > :now",
            "",
            acts.test_an_expired_key_is_free_again,
        ),
        "a unique key is held whatever became of its task": (
            "holders",
            "AND instr(holding.States, Tasks.Status) > 0",
            "",
            partial(unique.test_the_end_of_the_task_frees_the_key, end=Status.DONE),
        ),
        "a unique key is held for ever": (
            "holders",
            "holding.ExpiresAt > :now",
            "1",
            unique.test_the_window_ends_it_whatever_the_state,
        ),
        "pruning takes the newest event": (
            "prune_events",
            "AND Seq < (SELECT max(Seq) FROM Events)",
            "",
            acts.test_sequence_numbers_go_on_after_everything_was_pruned,
        ),
        "a key has all the turns": (
            "due_in_turn",
            "ORDER BY AtPriority DESC, Turn, IsRound",
            "ORDER BY AtPriority DESC, IsRound",
            turns.test_the_next_claim_goes_on_after_the_key_that_had_the_last_turn,
        ),
        "every claim begins at the first key": (
            "turn",
            "GroupKey = excluded.GroupKey, ",
            "",
            turns.test_the_next_claim_goes_on_after_the_key_that_had_the_last_turn,
        ),
        "each type of a key has its turn": (
            "due_in_turn",
            "Turn + Stride",
            "Turn + 1",
            turns.test_a_key_with_many_types_has_one_turn,
        ),
        "a key begins what is not due": (
            "due_in_turn",
            "RunAt <= :now",
            "1 = 1",
            turns.test_tasks_with_keys_that_are_not_due_wait,
        ),
        "keys take their turns in paused queues": (
            "due_in_turn",
            "AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = InQueue AND Paused)",
            "",
            partial(
                pausing.test_what_is_paused_waits_and_goes_on_when_it_is_resumed,
                line=Line.QUEUE,
                name="images",
                group="acme",
            ),
        ),
        "keys take their turns in queues of others": (
            "due_in_turn",
            ":queues IS NULL OR InQueue IN (SELECT value FROM json_each(:queues))",
            "1",
            turns.test_a_worker_of_some_queues_takes_turns_within_them,
        ),
        "a task that was tried apart forgets its key": (
            "finish",
            "WHEN GroupKey IS NULL THEN 0 ELSE 2",
            "ELSE 0",
            turns.test_a_suspect_with_a_key_runs_alone_and_is_in_its_line_again_afterwards,
        ),
        "nobody counts what runs of a queue": (
            "running_of",
            "count(*)",
            "0",
            turns.test_a_queue_runs_no_more_at_once_than_it_allows,
        ),
        "a full queue takes the places of others": (
            "due",
            "AND (:full IS NULL OR InQueue NOT IN (SELECT value FROM json_each(:full)))",
            "",
            partial(turns.test_a_full_queue_takes_no_place_from_others, group=None),
        ),
        "a full queue takes the places of other keys": (
            "due_in_turn",
            "AND (:full IS NULL OR InQueue NOT IN (SELECT value FROM json_each(:full)))",
            "",
            partial(turns.test_a_full_queue_takes_no_place_from_others, group="a"),
        ),
        "nobody counts what runs of a key": (
            "due_in_turn",
            "MostOfKey - (",
            "MostOfKey - 0 * (",
            turns.test_a_key_runs_no_more_at_once_than_it_may,
        ),
        "a key counts what runs in other queues": (
            "due_in_turn",
            "AND Queue = InQueue AND GroupKey = substr(Head, 20)) END",
            "AND GroupKey = substr(Head, 20)) END",
            turns.test_a_key_is_another_one_in_another_queue,
        ),
        "suspects of a key have no limit": (
            "due_suspect",
            "bound.value ->> 1 <=",
            "0 AND 0 <=",
            turns.test_suspects_keep_to_the_limits_too,
        ),
        "nobody counts what has begun": (
            "start",
            "Count + excluded.Count",
            "Count",
            turns.test_what_begins_in_one_moment_is_counted_together,
        ),
        "a rate looks back too short a time": (
            "started_of",
            "At > :since",
            "At > :since + 10000000",
            turns.test_a_rate_bounds_what_begins_in_any_time_of_its_length,
        ),
        "nobody counts what has begun of a key": (
            "due_in_turn",
            "RateOfKey - (",
            "RateOfKey - 0 * (",
            turns.test_a_rate_of_keys_bounds_each_key,
        ),
        "what has begun is kept for ever": (
            "forget_starts",
            "At <= :since",
            "At < 0 * :since",
            turns.test_what_rates_know_does_not_grow,
        ),
        "what has begun of a key is kept for ever": (
            "forget_keys",
            "At <= :since",
            "At < 0 * :since",
            turns.test_what_rates_know_does_not_grow,
        ),
        "keys that are silent are kept for ever": (
            "prune_starts",
            "At < :before",
            "At < 0 * :before",
            turns.test_what_rates_know_does_not_grow,
        ),
        "a due time is handled from wherever the schedule stands": (
            "move_on",
            "AND NextAt = :seen",
            "",
            on_schedules(firing.test_who_comes_second_does_nothing),
        ),
        "a schedule fires as it was": (
            "move_on",
            "AND Version = :version",
            "",
            on_schedules(firing.test_what_has_changed_meanwhile_is_not_fired_as_it_was, "edit"),
        ),
        "a handled due time is handled again": (
            "handle",
            "DO NOTHING",
            "DO UPDATE SET At = excluded.At",
            on_schedules(firing.test_a_due_time_that_was_handled_is_not_handled_again),
        ),
        "what waits begins twice": (
            "start_waiting",
            "AND Outcome = 'waiting'",
            "",
            on_schedules(firing.test_a_waiting_run_is_started_once),
        ),
        "a change of the title moves the due time": (
            "change_schedule",
            "Cron = :cron AND TimeZone = :zone AND ",
            "0 AND ",
            on_schedules(schedules.test_a_change_of_times_begins_anew_and_no_other_does),
        ),
    }
}
"""By back end: what is broken, in which statement, and the test that must fail then."""

PG_FENCE = "AND Tasks.Fence = ({}.value ->> 1)::bigint"
FULL = """AND (CAST(:full AS json) IS NULL
            OR InQueue NOT IN (SELECT json_array_elements_text(:full)))"""
PG_TEXTS: dict[str, tuple[str, str]] = {
    "finish by id": (PG_FENCE.format("ended"), ""),
    "finish forgets the cancel": (
        "WHEN CancelRequested = 1 AND CAST(:status AS text) IN ('Pending', 'Failed')",
        "WHEN CAST(:status AS text) IS NULL",
    ),
    "progress by id": (PG_FENCE.format("news"), ""),
    "claim from paused queues": (
        "AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = InQueue AND Paused = 1)",
        "",
    ),
    "sweep our own running tasks": (
        "AND Id NOT IN (SELECT json_array_elements_text(:held))",
        "",
    ),
    "sweep living owners": ("3 * CAST(", "0 * CAST("),
    "takeover charges everybody": (
        "Attempts - CASE WHEN lost.value ->> 1 = '0' THEN 1 ELSE 0 END",
        "Attempts",
    ),
    "failures of late workers are kept": (PG_FENCE.format("failed"), ""),
    "what was cancelled has failed": ("AND CancelRequested = 0", ""),
    "neighbours of a dead worker's task have failed": (
        "WHERE lost.value ->> 1 = '1' AND",
        "WHERE",
    ),
    "a unique key is held whatever became of its task": (
        "AND strpos(holding.States, Tasks.Status) > 0",
        "",
    ),
    "a unique key is held for ever": ("holding.ExpiresAt > :now", "true"),
    "a change of the title moves the due time": ("NextAt IS NOT NULL", "false"),
    "each type of a key has its turn": ("AtPriority, OfKey\n", "AtPriority, OfKey, OfType\n"),
    "keys take their turns in paused queues": (
        "AND NOT EXISTS (SELECT 1 FROM Queues WHERE Name = InQueue AND Paused = 1)",
        "",
    ),
    "keys take their turns in queues of others": (
        "CAST(:queues AS json) IS NULL OR InQueue IN (SELECT json_array_elements_text(:queues))",
        "true",
    ),
    "a full queue takes the places of others": (FULL, ""),
    "a full queue takes the places of other keys": (FULL, ""),
    "a child is let go too early": (
        "NOT EXISTS (SELECT 1 FROM Waits WHERE TaskId = heir.Id AND EndedAs IS NULL)",
        "true",
    ),
    "a failure does not matter": ("one.After LIKE 'fail %'", "false"),
    "a failure always matters": ("one.After LIKE 'fail %'", "true"),
    "a retried child does not wait again": ("Suspect < 4", "false"),
    "a parent goes while its child lives": ("heir.Status IN ('Pending', 'Processing')", "false"),
    "suspects of a key have no limit": ("(bound.value ->> 1)::bigint <=", "false AND 0 <="),
    "a key counts what runs in other queues": (
        "AND Queue = InQueue AND GroupKey = OfKey)",
        "AND GroupKey = OfKey)",
    ),
}
"""Where PostgreSQL says the same in other words: what is taken out, and what comes in its place."""

BROKEN["postgres"] = {
    name: (statement, *PG_TEXTS.get(name, (old, new)), seen_by)
    for name, (statement, old, new, seen_by) in BROKEN["sqlite"].items()
}

TSQL_TEXTS: dict[str, tuple[str, str, str]] = {
    "finish by id": ("finish", "AND t.Fence = ended.OfFence", ""),
    "finish whatever the status": ("finish", "WHERE t.Status = 'Processing'", ""),
    "claim from paused queues": (
        "due",
        "Queues.Name = kinds.InQueue AND Queues.Paused = 1",
        "1 = 0",
    ),
    "sweep living owners": ("sweep", "3 * CAST(", "0 * CAST("),
    "a failure does not matter": ("decide", "one.After LIKE 'fail %'", "1 = 0"),
    "nobody counts what has begun": ("start", "s.Count + new.Number", "new.Number"),
    "a rate looks back too short a time": ("started_of", "At > :since", "At > :since + 10000000"),
}
"""The same for some of them in T-SQL: that it is a translation that runs must not hide a fault."""

BROKEN["tsql"] = {name: (*said, BROKEN["sqlite"][name][-1]) for name, said in TSQL_TEXTS.items()}

CASES = [(kind, name) for kind in BACKENDS for name in BROKEN.get(kind, {})]
FIRST = [(kind, name) for kind in BACKENDS for name in list(BROKEN.get(kind, {}))[:2]]


@pytest.mark.parametrize(("kind", "name"), CASES)
async def test_the_suite_sees_what_is_broken(
    kind: str, name: str, new_backend: Callable[[str], Backend]
) -> None:
    """The test named for it fails when the guard is gone."""
    statement, old, new, seen_by = BROKEN[kind][name]
    backend, hands = new_backend("broken"), Hands()
    backend.spoil(statement, old, new)
    world = World(backend, hands, backend.store(hands))
    await world.store.open()
    try:
        with pytest.raises(WRONG):
            await seen_by(world)
    finally:
        await world.store.close()


@pytest.mark.parametrize(("kind", "name"), FIRST)
def test_the_model_sees_what_is_broken(
    kind: str, name: str, new_backend: Callable[[str], Backend]
) -> None:
    """Random lives find a missing guard too, without a test that was written for it."""
    statement, old, new, _ = BROKEN[kind][name]

    def broken(which: str) -> Backend:
        backend = new_backend(which)
        backend.spoil(statement, old, new)
        return backend

    with pytest.raises(WRONG):
        explore(broken, control=True)
