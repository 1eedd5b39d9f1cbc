"""POST /tasks: what is stored, what is answered, what is refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
from taskhub.model import TaskId
from taskhub.obs.telemetry import TaskCreated

from tests.unit.http.house import House

PLAIN = {"Content-Type": "application/json"}


async def test_a_new_task_is_on_disk_when_it_is_answered(house: House) -> None:
    """The 201 is the promise: what it shows is what a reader of the database finds."""
    reply = await house.ask("POST", "/tasks", json={"title": "Resize images"})

    assert reply.status == 201
    made = reply.json
    (stored,) = await house.store.get([TaskId(made["id"])])
    assert reply.headers["Location"] == f"/tasks/{made['id']}"
    assert (stored.title, stored.created_by, stored.status) == ("Resize images", "alice", "Pending")
    assert (made["type"], made["queue"], made["payload"]) == ("simulate", "default", {})
    assert (made["priority"], made["attempts"], made["maxAttempts"]) == (0, 0, 5)
    assert made["createdAt"] == made["updatedAt"] == made["runAt"]
    assert made["createdAt"].endswith("Z")
    follow = await house.ask("GET", reply.headers["Location"])
    assert follow.json == made


async def test_a_created_task_is_told_of_with_its_request(house: House) -> None:
    """The log line is found by the request id, and by the trace that the client began."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    given = {"X-Request-Id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}

    made = (await house.ask("POST", "/tasks", json={"title": "x"}, headers=given)).json

    (told,) = house.said(TaskCreated)
    assert (told.task_id, told.title, told.request_id) == (made["id"], "x", "mine-1")
    assert told.trace_id == trace


async def test_the_defaults_of_a_type_are_its_handlers(house: House) -> None:
    """Queue, attempts and timeout come from the type unless the client says otherwise."""
    made = await house.create(type="resize", payload={"url": "u"})
    other = await house.create(
        type="resize", payload={"url": "u"}, queue="big", maxAttempts=1, timeoutSeconds=0.5
    )

    assert (made["queue"], made["maxAttempts"], made["timeoutSeconds"]) == ("images", 3, 30)
    assert (other["queue"], other["maxAttempts"], other["timeoutSeconds"]) == ("big", 1, 0.5)


async def test_a_payload_is_kept_byte_for_byte(house: House) -> None:
    """Numbers too large for a float, spaces, escapes: who reads it gets what was sent."""
    payload = '{ "n": 123456789012345678901234567890, "f": 1.10, "e": "\\u00e9\\/" }'
    body = f'{{"title":"x","payload":{payload}}}'

    made = await house.ask("POST", "/tasks", data=body.encode(), headers=PLAIN)

    assert payload.encode() in made.body
    again = await house.ask("GET", f"/tasks/{made.json['id']}")
    assert payload.encode() in again.body


@pytest.mark.parametrize(
    "title",
    [
        "x",
        "t" * 200,
        " spaces are kept ",
        "a\u202eb\u200bc\ufeff\uffff",
        "e" + "\u0301" * 199,
        "é",
        "🎉",
    ],
    ids=ascii,
)
async def test_titles_come_back_as_they_were_sent(house: House, title: str) -> None:
    """Whatever is no control character is the client's own business."""
    assert (await house.create(title=title))["title"] == title


async def test_a_sql_text_is_a_text(house: House) -> None:
    """Statements have parameters: nothing that is sent becomes SQL."""
    title = "'; DROP TABLE Tasks;-- % _ \\"

    made = await house.create(title=title)

    assert (await house.ask("GET", f"/tasks/{made['id']}")).json["title"] == title


RULES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["/title"]),
    ({"title": 1}, ["/title"]),
    ({"title": None}, ["/title"]),
    ({"title": {"a": 1}}, ["/title"]),
    ({"title": ""}, ["/title"]),
    ({"title": " \t"}, ["/title"]),
    ({"title": "   "}, ["/title"]),
    ({"title": "x" * 201}, ["/title"]),
    ({"title": "a\u0000b"}, ["/title"]),
    ({"title": "a\n"}, ["/title"]),
    ({"title": "a\x1b[31m"}, ["/title"]),
    ({"title": "a\x9fb"}, ["/title"]),
    ({"title": "x", "status": "Done", "attempts": 9, "id": 1}, ["/status", "/attempts", "/id"]),
    ({"title": "x", "a/b~c": 1}, ["/a~1b~0c"]),
    ({"title": "x", "n" * 100: 1}, [""]),
    ({"title": "x", "type": "no such"}, ["/type"]),
    ({"title": "x", "type": "unknown"}, ["/type"]),
    ({"title": "x", "queue": "default\n"}, ["/queue"]),
    ({"title": "x", "queue": ""}, ["/queue"]),
    ({"title": "x", "priority": 101}, ["/priority"]),
    ({"title": "x", "priority": 1.5}, ["/priority"]),
    ({"title": "x", "priority": True}, ["/priority"]),
    ({"title": "x", "priority": 2**70}, ["/priority"]),
    ({"title": "x", "maxAttempts": 0}, ["/maxAttempts"]),
    ({"title": "x", "timeoutSeconds": 86_401}, ["/timeoutSeconds"]),
    ({"title": "x", "runAt": "2026-11-24T10:00:00"}, ["/runAt"]),
    ({"title": "x", "runAt": "tomorrow"}, ["/runAt"]),
    ({"title": "x", "runAt": "0001-01-01T00:00:00+10:00"}, ["/runAt"]),
    ({"title": "x", "delaySeconds": -1}, ["/delaySeconds"]),
    ({"title": "x", "runAt": "2026-11-24T10:00:00Z", "delaySeconds": 1}, ["/delaySeconds"]),
    ({"title": "x", "unique": True}, ["/unique"]),
    ({"title": "x", "unique": []}, ["/unique"]),
    ({"title": "x", "unique": {"key": ""}}, ["/unique/key"]),
    ({"title": "x", "unique": {"key": "k" * 201}}, ["/unique/key"]),
    ({"title": "x", "unique": {"key": "a\nb"}}, ["/unique/key"]),
    ({"title": "x", "unique": {"key": None}}, ["/unique/key"]),
    ({"title": "x", "unique": {"by": []}}, ["/unique/by"]),
    ({"title": "x", "unique": {"by": "url"}}, ["/unique/by"]),
    ({"title": "x", "unique": {"by": ["a"] * 21}}, ["/unique/by"]),
    ({"title": "x", "unique": {"by": ["no"]}, "payload": {"a": 1}}, ["/unique/by/0"]),
    ({"title": "x", "unique": {"by": ["a", "no"]}, "payload": {"a": 1}}, ["/unique/by/1"]),
    ({"title": "x", "unique": {"by": ["a"]}, "payload": ["a"]}, ["/unique/by/0"]),
    ({"title": "x", "unique": {"by": ["a"]}}, ["/unique/by/0"]),
    ({"title": "x", "unique": {"key": "k", "by": ["a"]}, "payload": {"a": 1}}, ["/unique/by"]),
    ({"title": "x", "unique": {"seconds": 0}}, ["/unique/seconds"]),
    ({"title": "x", "unique": {"seconds": 1e12}}, ["/unique/seconds"]),
    ({"title": "x", "unique": {"states": []}}, ["/unique/states"]),
    ({"title": "x", "unique": {"states": ["Done"]}}, ["/unique/states"]),
    ({"title": "x", "unique": {"states": ["Pending", "Gone"]}}, ["/unique/states"]),
    ({"title": "", "unique": {"key": 1, "zzz": 1}}, ["/title", "/unique/key", "/unique/zzz"]),
    ({"title": 5, "queue": "!", "zzz": 1}, ["/title", "/queue", "/zzz"]),
    ({"title": "x", "type": "resize"}, ["/payload"]),
    ({"title": "x", "type": "resize", "payload": {"url": 1}}, ["/payload/url"]),
    ({"title": "x", "type": "resize", "payload": {"url": "u", "evil": 1}}, ["/payload"]),
]


@pytest.mark.parametrize(("body", "pointers"), RULES, ids=lambda value: ascii(value)[:60])
async def test_every_broken_rule_is_named_by_its_pointer(
    house: House, body: dict[str, Any], pointers: list[str]
) -> None:
    """A client that mends all of them needs one more try, not one a mistake."""
    reply = await house.ask("POST", "/tasks", json=body)

    assert reply.status == 422
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert [error["pointer"] for error in reply.json["errors"]] == pointers
    assert all(error["detail"] for error in reply.json["errors"])


MALFORMED = [
    b"",
    b"not json",
    b"null",
    b"[]",
    b'"x"',
    b"5",
    b'{"title":"x"} x',
    b'{"title":"x",}',
    b"{'title':'x'}",
    b'\xef\xbb\xbf{"title":"x"}',
    '{"title":"x"}'.encode("utf-16"),
    b'{"title":"\xff"}',
    b'{"title":"x","payload":"\xed\xa0\x80"}',
    b'{"title":"x","payload":"\xc0\xaf"}',
    b'{"title":"\\ud800"}',
    b'{"title":"x","payload":"\\ud800 and so on"}',
    b'{"title":"x","payload":"\\udc00"}',
    b'{"title":"x","payload":NaN}',
    b'{"title":"x","payload":-Infinity}',
    b'{"title":"x","payload":1e400}',
    b'{"title":"x","payload":' + b"9" * 5_000 + b"}",
    b'{"title":"x","title":"y"}',
    b'{"title":"x","payload":{"a":[{"b":1,"\\u0062":2}]}}',
    b'{"title":"x","payload":{"\\"":1,"\\"":2}}',
    b'{"title":"x","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"title":"x","payload":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"title":"x","payload":' + b"[" * 101 + b"]" * 101 + b"}",
    b"[" * 100_000,
    b'{"title":"x","zzz":' + b'{"a":' * 200 + b"1" + b"}" * 201,
    b'{"title":"a\nb"}',
]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: ascii(body)[:50])
async def test_what_is_not_strict_json_is_400(house: House, body: bytes) -> None:
    """One body has one meaning, for us and for every reader after us."""
    reply = await house.ask("POST", "/tasks", data=body, headers=PLAIN)

    assert reply.status == 400
    assert reply.json["type"] == "urn:taskhub:problem:malformed"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":"\\"","b":"\\\\","c":"\\\\\\""}',
        b'[{"a":1},{"a":2}]',
        b"[" * 99 + b"]" * 99,
        b"[" + b"[]," * 200 + b"[]]",
        b"9223372036854775808",
        b"-0",
        b"null",
        b'"\\u0000"',
    ],
    ids=ascii,
)
async def test_unusual_but_strict_json_is_taken(house: House, payload: bytes) -> None:
    """The checks find what is wrong, not what is rare."""
    body = b'{"title":"x","priority":0,"payload":' + payload + b"}"

    reply = await house.ask("POST", "/tasks", data=body, headers=PLAIN)

    assert reply.status == 201, reply.body
    assert b'"payload":' + payload in reply.body


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ('Application/JSON ; charset="UTF-8"', 201),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
async def test_a_body_must_say_that_it_is_json(house: House, kind: str, status: int) -> None:
    """A browser can send text/plain to anybody; JSON it has to ask for."""
    reply = await house.ask("POST", "/tasks", data=b'{"title":"x"}', headers={"Content-Type": kind})

    assert reply.status == status


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "x"])
async def test_a_packed_body_is_refused_unopened(house: House, coding: str) -> None:
    """A bomb of 200 MB in 194 kB is never unpacked: nobody looks inside."""
    headers = PLAIN | {"Content-Encoding": coding}

    reply = await house.ask("POST", "/tasks", data=b"\x1f\x8b" + b"x" * 200_000, headers=headers)

    assert reply.status == 415
    assert reply.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("size", [1_048_577, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_large_body_is_refused(house: House, size: int, chunked: bool) -> None:
    """With a length at once, without one as soon as it is too much."""
    data = b'{"title":"x","payload":"' + b"x" * size + b'"}'

    async def pieces() -> Any:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    reply = await house.ask(
        "POST", "/tasks", data=pieces() if chunked else io.BytesIO(data), headers=PLAIN
    )

    assert reply.status == 413


async def test_the_largest_body_is_taken(house: House) -> None:
    """The limit is what the configuration says, to the byte."""
    head, tail = b'{"title":"x","payload":"', b'"}'
    data = head + b"x" * (1_048_576 - len(head) - len(tail)) + tail

    reply = await house.ask("POST", "/tasks", data=data, headers=PLAIN)

    assert reply.status == 201


async def test_an_unknown_parameter_is_named(house: House) -> None:
    """A token in the query is no token, and ends in no log as a filter would."""
    reply = await house.ask("POST", "/tasks?access_token=abc", json={"title": "x"})

    assert reply.status == 400
    assert b"abc" not in reply.body


async def test_prefer_wait_answers_with_the_end(house: House) -> None:
    """For scripts: one request from wish to result; the time over, the task as it is."""
    soon = await house.ask(
        "POST", "/tasks", json={"title": "x"}, headers={"Prefer": "respond-async, wait=1"}
    )
    never = await house.ask("POST", "/tasks", json={"title": "x"}, headers={"Prefer": "wait=x"})

    assert (soon.status, soon.headers["Preference-Applied"]) == (201, "wait=1")
    assert soon.json["status"] == "Pending"
    assert "Preference-Applied" not in never.headers
