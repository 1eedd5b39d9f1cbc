"""Types of tasks in a store: who does them, what waits for nobody, what is forgotten."""

from __future__ import annotations

from datetime import timedelta

from taskhub.model import Status, TypeInfo
from taskhub.ports import Register, Touched
from taskhub.registration import Forget, Registration, Seen, Standing

from tests.conformance.store.world import World


async def known(world: World) -> dict[str, Registration]:
    """Every type, by name."""
    return {each.info.name: each for each in await world.store.registrations()}


async def test_a_type_is_seen_when_it_is_registered_and_whenever_a_worker_says_so(
    world: World,
) -> None:
    """Its schema's time stays: nothing has changed."""
    began = world.hands.now
    await world.one(Register(types=[TypeInfo("resize", {"type": "object"})]))
    world.hands.advance(60.0)

    seen = await world.one(Seen(types=["resize", "nobody's"]))

    assert seen == Touched(1)
    resize = (await known(world))["resize"]
    assert (resize.registered_at, resize.seen_at) == (began, world.hands.now)
    assert resize.info == TypeInfo("resize", {"type": "object"})


async def test_a_type_stands_as_long_as_somebody_does_it(world: World) -> None:
    """Three minutes of silence, and it is away; it never goes by itself."""
    await world.one(Register(types=[TypeInfo("resize")]))
    resize, now = (await known(world))["resize"], world.hands.now

    assert resize.standing(now + timedelta(seconds=89)) is Standing.ACTIVE
    assert resize.standing(now + timedelta(seconds=91)) is Standing.AWAY


async def test_what_waits_is_counted_whoever_knows_its_type(world: World) -> None:
    """A deploy that renames a type leaves its old tasks to be seen; what has ended is no such."""
    await world.finish(await world.running(type="ended"), Status.FAILED)
    await world.one(Register(types=[TypeInfo("resize")]))
    await world.add(2, type="resize")
    await world.add(1, type="resize", queue="images")
    await world.add(3, type="old-name")

    types = await known(world)

    assert {name: each.waiting for name, each in types.items()} == {"old-name": 3, "resize": 3}
    assert types["old-name"].standing(world.hands.now) is Standing.UNKNOWN
    assert types["old-name"].info == TypeInfo("old-name")


async def test_a_type_that_is_forgotten_leaves_its_tasks(world: World) -> None:
    """They wait, and go on when somebody registers it again."""
    await world.one(Register(types=[TypeInfo("resize"), TypeInfo("press")]))
    (task,) = await world.add(type="resize")

    assert await world.one(Forget(name="resize")) == Touched(1)
    assert await world.one(Forget(name="resize")) == Touched(0)

    assert [info.name for info in await world.store.types()] == ["press"]
    assert (await known(world))["resize"].waiting == 1
    assert [lease.item.id for lease in await world.claim()] == [task]


async def test_every_change_of_a_type_is_read(world: World) -> None:
    """Within one tick of the clock, also when as many types are there as before."""
    for info in (TypeInfo("a", {"v": 1}), TypeInfo("a", {"v": 2})):
        await world.one(Register(types=[info]))
        assert await world.store.types() == [info]
    await world.do(Forget(name="a"), Register(types=[TypeInfo("b")]))
    first = await world.store.types()
    assert first in ([TypeInfo("b")], [TypeInfo("a"), TypeInfo("b")])
    await world.one(Seen(types=["b"]))

    assert await world.store.types() is first
