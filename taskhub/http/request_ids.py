"""Names for requests: the client's own where it is harmless, else one of ours."""

from __future__ import annotations

import re

from aiohttp import web

FOREIGN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class RequestIds:
    """Names for requests: unique, in order, and almost free to make."""

    __slots__ = ("_count", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix, self._count = prefix, 0

    def __call__(self) -> str:
        """The next one."""
        self._count += 1
        return f"{self._prefix}-{self._count:x}"

    def of(self, request: web.BaseRequest) -> str:
        """The client's own, where it is harmless, else the next one."""
        foreign = request.headers.get("X-Request-Id")
        if foreign is not None and FOREIGN_ID.fullmatch(foreign):
            return foreign
        return self()
