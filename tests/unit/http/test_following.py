"""`after`, `then` and `onParentFailure`: what may be named, what is refused, what is answered."""

from __future__ import annotations

from typing import Any

from taskhub.http.following import (
    NO_NAME,
    NO_TASK,
    NOT_BEFORE,
    NOT_STORED,
    SAME_NAME,
)
from taskhub.model import Lease, Owner, Status, TaskId
from taskhub.obs.telemetry import TaskCreated
from taskhub.ports import Claim, Claimed, Finish

from tests.unit.http.house import House, Reply, bearer

NOBODY = "0190a5f2-0000-7000-8000-00000000dead"


async def post(house: House, headers: Any = None, **members: Any) -> Reply:
    """A new task."""
    return await house.ask("POST", "/tasks", json={"title": "x"} | members, headers=headers)


async def batch(house: House, *tasks: dict[str, Any], **members: Any) -> Reply:
    """Many new tasks."""
    body = {"tasks": [{"title": "x"} | task for task in tasks]} | members
    return await house.ask("POST", "/tasks/batch", json=body)


async def claim(house: House) -> list[Lease]:
    """What a worker is handed now."""
    wish = Claim(owner=Owner("h/u/n"), limit=99, lease=15.0, types=("simulate", "resize"))
    (claimed,) = await house.put(wish)
    assert isinstance(claimed, Claimed)
    return list(claimed.leases)


async def end(house: House, lease: Lease, status: Status = Status.DONE, **fields: Any) -> None:
    """An attempt ends."""
    await house.put(Finish(id=lease.item.id, fence=lease.fence, status=status, **fields))


def errors(reply: Reply) -> list[tuple[str, str]]:
    """What is wrong."""
    assert reply.status == 422, reply.body
    return [(error["pointer"], error["detail"]) for error in reply.json["errors"]]


# ---- one task


async def test_a_task_says_what_it_is_after_and_waits_for_it(house: House) -> None:
    """It is handed out when those have ended, and not before."""
    one, two = [(await house.create())["id"] for _ in range(2)]

    child = await post(house, after=[one, two, one], onParentFailure="continue")

    assert child.status == 201
    assert (child.json["after"], child.json["onParentFailure"]) == ([one, two], "continue")
    shown = await house.ask("GET", f"/tasks/{child.json['id']}")
    assert shown.json == child.json
    first, second = await claim(house)
    await end(house, first)
    assert await claim(house) == []
    await end(house, second, Status.FAILED, error="no")
    assert [lease.item.id for lease in await claim(house)] == [child.json["id"]]


async def test_a_plain_task_is_after_none(house: House) -> None:
    """And nothing is to become of it when another fails."""
    made = await house.create()

    assert (made["after"], made["onParentFailure"]) == ([], None)
    assert "then" not in made


async def test_what_cannot_be_named_is_refused_with_its_place(house: House) -> None:
    """Tasks that there are not, what is no id, too many, a policy that is none."""
    task = (await house.create())["id"]

    assert errors(await post(house, after=[task, NOBODY])) == [("/after/1", NO_TASK)]
    assert errors(await post(house, after=["left"])) == [("/after", "up to 100 ids of tasks")]
    assert errors(await post(house, after=[task] * 101)) == [("/after", "up to 100 ids of tasks")]
    assert errors(await post(house, name="left"))[0][0] == "/name"
    assert errors(await post(house, after=[task], onParentFailure="ignore"))[0][0] == (
        "/onParentFailure"
    )
    assert len((await house.ask("GET", "/tasks")).json["items"]) == 1


async def test_a_task_that_one_may_not_read_is_as_one_that_there_is_not(house: House) -> None:
    """Its result would be handed to the child; who made it may name it, also without reading."""
    mine = bearer(sub="bob", scope="tasks.write")
    theirs = (await house.create())["id"]
    own = (await post(house, headers=mine)).json["id"]

    assert errors(await post(house, headers=mine, after=[theirs])) == [("/after/0", NO_TASK)]
    assert (await post(house, headers=mine, after=[own])).status == 201


async def test_a_task_after_one_that_has_failed_fails_at_once(house: House) -> None:
    """It is taken in, and its end says why."""
    await house.create()
    (lease,) = await claim(house)
    await end(house, lease, Status.FAILED, error="no")

    child = await post(house, after=[lease.item.id])

    shown = (await house.ask("GET", f"/tasks/{child.json['id']}")).json
    assert (child.status, shown["status"]) == (201, "Failed")
    assert shown["error"] == f"a task that it is after has failed: {lease.item.id}"


async def test_why_names_those_that_it_waits_for(house: House) -> None:
    """One look, no search."""
    parent = (await house.create())["id"]
    child = (await post(house, after=[parent])).json["id"]

    *_, reason = (await house.ask("GET", f"/tasks/{child}/why")).json["reasons"]

    assert (reason["cause"], reason["text"]) == (
        "waitsFor",
        f"It waits for 1 task to end: {parent}.",
    )


async def test_the_same_key_makes_one_child_whatever_becomes_of_its_parent(house: House) -> None:
    """What was answered once is answered again."""
    parent = (await house.create())["id"]
    key = {"Idempotency-Key": "k"}

    first = await post(house, headers=key, after=[parent])
    (lease,) = await claim(house)
    await end(house, lease)
    again = await post(house, headers=key, after=[parent])

    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"


# ---- chains


async def test_a_chain_is_made_at_once_and_runs_one_after_the_other(house: House) -> None:
    """The answer is the first task, and the ids of the others."""
    steps = [
        {"title": "two", "payload": {"n": 2}},
        {"title": "three", "onParentFailure": "continue"},
    ]

    made = await post(house, then=steps)

    assert made.status == 201
    ids = [made.json["id"], *made.json["then"]]
    assert [told.task_id for told in house.said(TaskCreated)] in ([ids[1], ids[2], ids[0]], ids)
    items = await house.store.get([TaskId(id_) for id_ in ids])
    assert [item.title for item in items] == ["x", "two", "three"]
    assert [item.after for item in items] == [(), (ids[0],), (ids[1],)]
    assert [item.on_parent_failure for item in items] == [None, "fail", "continue"]
    assert bytes(items[1].payload) == b'{"n": 2}'
    order = []
    while leases := await claim(house):
        order += [lease.item.id for lease in leases]
        await end(house, leases[0])
    assert order == ids


async def test_a_mistake_in_a_chain_stores_nothing_and_has_its_place(house: House) -> None:
    """Every broken rule, in the step that breaks it."""
    bad = [{"title": ""}, {"title": "y", "priority": 101, "after": []}]

    assert [pointer for pointer, _ in errors(await post(house, then=bad))] == [
        "/then/0/title",
        "/then/1/priority",
        "/then/1/after",
    ]
    unknown = [{"title": "y"}, {"title": "y", "type": "nobody-does"}]
    assert [place for place, _ in errors(await post(house, then=unknown))] == ["/then/1/type"]
    payload = [{"title": "y", "type": "resize", "payload": {"url": 1}}]
    assert [place for place, _ in errors(await post(house, then=payload))] == [
        "/then/0/payload/url"
    ]
    unique = await post(house, unique={"key": "k"}, then=[{"title": "y"}])
    assert [place for place, _ in errors(unique)] == ["/then"]
    many = await post(house, then=[{"title": "y"}] * 101)
    assert [place for place, _ in errors(many)] == ["/then"]
    assert (await house.ask("GET", "/tasks")).json["items"] == []


async def test_the_same_key_makes_one_chain(house: House) -> None:
    """The ids of the followers are part of the answer that is kept."""
    key = {"Idempotency-Key": "k"}

    first, again = [await post(house, headers=key, then=[{"title": "y"}]) for _ in range(2)]

    assert (again.status, again.body) == (201, first.body)
    assert len((await house.ask("GET", "/tasks")).json["items"]) == 2


# ---- batches


async def test_tasks_of_a_batch_name_each_other_by_name_and_place(house: House) -> None:
    """A graph in one request: two in parallel, one that joins them, and one from before."""
    before = (await house.create())["id"]

    made = await batch(
        house,
        {"name": "left", "after": [before]},
        {"name": "right"},
        {"after": ["left", 1, "right", before]},
    )

    ids = [TaskId(item["id"]) for item in made.json["items"]]
    assert made.status == 201
    left, right, join = await house.store.get(ids)
    assert (left.after, right.after) == ((before,), ())
    assert join.after == (left.id, right.id, before)


async def test_no_task_of_a_batch_can_wait_for_itself_or_for_one_behind_it(house: House) -> None:
    """So there are no circles."""
    made = await batch(
        house,
        {"name": "a", "after": [0]},
        {"name": "b", "after": ["c", 2]},
        {"name": "c", "after": ["b"]},
        {"name": "b", "after": [NOBODY]},
    )

    assert errors(made) == [
        ("/tasks/0/after/0", NOT_BEFORE),
        ("/tasks/1/after/0", NO_NAME),
        ("/tasks/1/after/1", NOT_BEFORE),
        ("/tasks/2/after/0", NOT_STORED),
        ("/tasks/3/name", SAME_NAME),
    ]


async def test_each_for_itself_the_children_of_what_is_refused_are_refused(house: House) -> None:
    """The others are stored."""
    made = await batch(
        house,
        {"name": "bad", "priority": 101},
        {"name": "below", "after": [0]},
        {"after": ["below"]},
        {"after": [NOBODY]},
        {"title": "fine"},
        atomic=False,
    )

    assert made.status == 207
    assert [item["status"] for item in made.json["items"]] == [422, 422, 422, 422, 201]
    assert [item.get("errors", [{}])[0].get("pointer") for item in made.json["items"]] == [
        "/tasks/0/priority",
        "/tasks/1/after/0",
        "/tasks/2/after/0",
        "/tasks/3/after/0",
        None,
    ]


# ---- what parents have made


async def test_parents_are_shown_with_what_they_have_made(house: House) -> None:
    """In their order; those that have not ended, too."""
    one, two = [(await house.create())["id"] for _ in range(2)]
    child = (await post(house, after=[two, one])).json["id"]
    first, _ = await claim(house)
    await end(house, first, result=b'{"pages":3}')

    shown = await house.ask("GET", f"/tasks/{child}/parents")

    assert first.item.id == one
    assert shown.json["items"] == [
        {"id": two, "status": "Processing", "error": None, "result": None, "resultLeftOut": False},
        {
            "id": one,
            "status": "Done",
            "error": None,
            "result": {"pages": 3},
            "resultLeftOut": False,
        },
    ]
    assert (await house.ask("GET", f"/tasks/{NOBODY}/parents")).status == 404


async def test_children_are_shown_page_by_page(house: House) -> None:
    """Newest first, in short."""
    one = (await house.create())["id"]
    children = [(await post(house, title=f"c{n}", after=[one])).json["id"] for n in range(3)]

    first = (await house.ask("GET", f"/tasks/{one}/children?limit=2")).json
    rest = (await house.ask("GET", f"/tasks/{one}/children?cursor={first['next']}")).json

    assert [child["id"] for child in (*first["items"], *rest["items"])] == children[::-1]
    assert rest["next"] is None
    assert first["items"][0] == {
        "id": children[2],
        "title": "c2",
        "type": "simulate",
        "queue": "default",
        "status": "Pending",
        "error": None,
        "createdAt": first["items"][0]["createdAt"],
        "createdBy": "alice",
    }
    assert (await house.ask("GET", f"/tasks/{NOBODY}/children")).status == 404
    assert (await house.ask("GET", f"/tasks/{one}/children?limit=0")).status == 400


async def test_the_same_parent_twice_is_one_parent(house: House) -> None:
    """It is waited for once."""
    one = (await house.create())["id"]

    reply = await post(house, after=[one, one])

    assert (reply.status, reply.json["after"]) == (201, [one])
