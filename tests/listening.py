"""The end of a test's server that loses no connection; not for production code."""

from __future__ import annotations

import asyncio

from tests.waiting import turns


async def no_more(server: asyncio.Server) -> None:
    """Close it; whatever it had taken until then has been told to its callback.

    CPython forgets, unclosed, a connection that was taken one turn of the loop before `close()`
    (`Server._attach` asserts that the server is open), so it stops listening a few turns earlier.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await turns()
    server.close()
