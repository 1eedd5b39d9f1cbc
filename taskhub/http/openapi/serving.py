"""`/openapi.json` and `/docs`: the description and a page to read it with, made when asked for."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec

from taskhub.config.policies import Policies
from taskhub.http.answers import Answer
from taskhub.http.call import Call
from taskhub.http.conditional import conditional
from taskhub.http.problems import BadQuery
from taskhub.http.queries import no_query
from taskhub.http.route import Field, Handler, Message, Reply, Route
from taskhub.model import TypeInfo

JSON_PATH, PAGE_PATH = "/openapi.json", "/docs"
HTML = "text/html; charset=utf-8"
TAGGED = {"ETag": "changes with every change of it"}
UNLESS = Field("If-None-Match", "304 while it is still the same.", '"4bd1"')
POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)

Making = Callable[[Policies, Sequence[TypeInfo]], Answer]


def described(routes: Sequence[Route], messages: Sequence[Message] = ()) -> tuple[Route, ...]:
    """The routes, and two more that describe them all, themselves too."""

    def description(policies: Policies, types: Sequence[TypeInfo]) -> Answer:
        # late: most processes never answer this
        from taskhub.http.openapi.document import document

        told = document(under(served, policies), messages, types)
        return Answer(200, msgspec.json.encode(told), cache="no-cache")

    served = (*routes, _json_route(_kept(description)), _page_route(_kept(lambda *_: page())))
    return served


def under(routes: Sequence[Route], policies: Policies) -> tuple[Route, ...]:
    """The same routes with the access that the configuration gives them."""
    return tuple(
        msgspec.structs.replace(route, access=route.access_under(policies)) for route in routes
    )


@cache
def page() -> Answer:
    """The page with its style and its script in it, and the policy that allows no others."""
    style, script, frame = (_part(name) for name in ("docs.css", "docs.js", "docs.html"))
    text = frame.replace("/*style*/", style).replace("/*script*/", script)
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    headers = (
        ("Content-Security-Policy", policy),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    )
    return Answer(200, text.encode(), HTML, headers, cache="no-cache")


def _kept(making: Making) -> Handler:
    """Answers what was made once, until the policies or the types are others."""
    kept: list[tuple[Policies, Sequence[TypeInfo], Answer]] = []

    async def handle(call: Call) -> Answer:
        no_query(call.request)
        policies, types = call.context.settings().policies, call.context.types.all
        if not kept or kept[0][0] is not policies or kept[0][1] is not types:
            kept[:] = [(policies, types, await asyncio.to_thread(making, policies, types))]
        return conditional(call.request, kept[0][2])

    return handle


def _json_route(handler: Handler) -> Route:
    return Route(
        method="GET",
        path=JSON_PATH,
        name="openapi",
        text="This description.",
        handler=handler,
        fields=(UNLESS,),
        replies=(
            Reply(
                200,
                "The description.",
                dict[str, Any],
                headers=TAGGED,
                example={"openapi": "3.1.0"},
            ),
            Reply(304, "It has not changed.", headers=TAGGED),
        ),
        errors=(BadQuery,),
    )


def _page_route(handler: Handler) -> Route:
    return Route(
        method="GET",
        path=PAGE_PATH,
        name="docs",
        text="A page to read this description with, and to try it.",
        handler=handler,
        fields=(UNLESS,),
        replies=(
            Reply(200, "The page.", str, HTML, headers=TAGGED, example="<!doctype html>"),
            Reply(304, "It has not changed.", headers=TAGGED),
        ),
        errors=(BadQuery,),
    )


def _part(name: str) -> str:
    return files("taskhub.http").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()
