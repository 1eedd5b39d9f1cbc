"""An answer that goes on: what a source gives, sent at once, as fast as its client reads."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

from taskhub.http.answers import fixed_fields

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from taskhub.http.answers import Answer, Source
    from taskhub.http.connection import Connection

BUFFER = 16_384
"""Bytes that may wait for a client before its source has to."""


class Flow(web.StreamResponse):
    """The head of an answer, then what its source gives, until that ends or the client goes.

    HTTP/1.1 gets chunks, and the connection lives on; HTTP/1.0 reads until the connection ends.
    """

    def __init__(
        self, answer: Answer, source: Source, request_id: str, *, varies: bool = False
    ) -> None:
        headers = {"X-Request-Id": request_id, hdrs.CONTENT_TYPE: answer.content_type}
        super().__init__(status=answer.status, headers=headers)
        self.headers.extend(answer.headers)
        if varies:
            self.headers.add(hdrs.VARY, hdrs.ORIGIN)
        self._source, self._cache = source, answer.cache

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head."""
        connection = cast("Connection", request.protocol)
        kind = self.headers[hdrs.CONTENT_TYPE]
        self.headers.update(fixed_fields(kind, self._cache, connection.is_secure))
        if request.version < HttpVersion11 or connection.is_draining:
            self.force_close()  # aiohttp forgets it for HTTP/1.0, whose end of body is that end
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send everything else; raises ConnectionError when the client goes, or does not read."""
        request = self._req
        if request is not None and request.method != hdrs.METH_HEAD:
            await self._pour(cast("Connection", request.protocol))
        await super().write_eof(data)

    async def _pour(self, connection: Connection) -> None:
        with connection.pouring(self._source, BUFFER):
            async with aclosing(self._source.chunks()) as chunks:
                async for chunk in chunks:
                    await self.write(chunk)
                    await connection.taken()
        if connection.is_draining:
            self.force_close()
