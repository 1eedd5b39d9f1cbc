"""Write a Postman collection and environment, made from the API's own description, into a folder.

The collection is also a test: newman runs it from top to bottom, each request with the example of
the description, and each answer has to be one that the description promises.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from taskhub.http.openapi import described
from taskhub.http.openapi.document import document
from taskhub.http.routes import MESSAGES, ROUTES

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
STREAM = "text/event-stream"
STREAMS = "streams"
"""The folder of what never ends; newman is told to leave it out."""
HARMLESS = {"404", "409"}
"""What a good request may get all the same: examples name what may not be there."""

Json = dict[str, Any]


def main(folder: Path) -> None:
    """Write both files."""
    told = msgspec.json.decode(msgspec.json.encode(document(described(ROUTES, MESSAGES), MESSAGES)))
    for name, value in (("collection", collection(told)), ("environment", environment())):
        text = json.dumps(value, indent=1, ensure_ascii=False)
        (folder / f"taskhub.postman_{name}.json").write_text(f"{text}\n", encoding="utf-8")


def collection(told: Json) -> Json:
    """Each operation as a request, in folders by tag, in the order of the description."""
    folders: dict[str, list[Json]] = {}
    for path, method, operation in operations(told):
        name = STREAMS if is_stream(operation) else operation["tags"][0]
        folders.setdefault(name, []).append(request(path, method, operation))
    texts = {tag["name"]: tag.get("description", "") for tag in told["tags"]}
    texts[STREAMS] = "What never ends: events as they happen."
    variables = {
        variable(path, parameter["name"]): parameter["example"]
        for path, _, operation in operations(told)
        for parameter in parameters(operation, "path")
    }
    return {
        "info": {
            "name": told["info"]["title"],
            "description": told["info"]["description"],
            "schema": SCHEMA,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]},
        "item": [
            {"name": name, "description": texts[name], "item": items}
            for name, items in sorted(folders.items(), key=lambda pair: pair[0] == STREAMS)
        ],
        "variable": [{"key": name, "value": value} for name, value in variables.items()],
    }


def environment() -> Json:
    """Where TaskHub is, and the token; to be filled in."""
    return {
        "name": "TaskHub",
        "values": [
            {"key": "baseUrl", "value": "http://127.0.0.1:8080", "type": "default"},
            {"key": "token", "value": "", "type": "secret"},
        ],
        "_postman_variable_scope": "environment",
    }


def operations(told: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and operation of all that is described."""
    for path, item in told["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def is_stream(operation: Json) -> bool:
    """Whether its only good answer has no end."""
    return set(operation["responses"].get("200", {}).get("content", {})) == {STREAM}


def parameters(operation: Json, place: str) -> list[Json]:
    """Those in the path, the query or the header."""
    return [one for one in operation.get("parameters", []) if one["in"] == place]


def variable(path: str, name: str) -> str:
    """The collection's variable for a parameter of a path: `taskId`, `actorName`."""
    before = path.partition("/{" + name + "}")[0].rpartition("/")[2]
    return f"{before.removesuffix('s')}{name.capitalize()}"


def request(path: str, method: str, operation: Json) -> Json:
    """One request: the example of the body, what must be there, and what may be switched on."""
    made: Json = {
        "method": method.upper(),
        "description": operation["description"],
        "header": [header(one) for one in parameters(operation, "header")],
        "url": url(path, operation),
    }
    if not operation["security"]:
        made["auth"] = {"type": "noauth"}
    if "requestBody" in operation:
        media = operation["requestBody"]["content"]["application/json"]
        text = json.dumps(first_example(media), indent=2)
        options = {"raw": {"language": "json"}}
        made["body"] = {"mode": "raw", "raw": text, "options": options}
        made["header"].append({"key": "Content-Type", "value": "application/json"})
    test = {"type": "text/javascript", "exec": checks(path, operation)}
    return {
        "name": operation["summary"],
        "event": [{"listen": "test", "script": test}],
        "request": made,
        "response": list(answers(made, operation)),
    }


def header(one: Json) -> Json:
    """A header field; of those nobody needs only the key is on, since it makes a repeat safe."""
    is_key = one["name"] == "Idempotency-Key"
    return {
        "key": one["name"],
        "value": "{{$guid}}" if is_key else one["example"],
        "description": one["description"],
        "disabled": not (one.get("required") or is_key),
    }


def url(path: str, operation: Json) -> Json:
    """The address, with variables for what stands in the path."""
    filled = re.sub(r"{(\w+)}", lambda found: "{{" + variable(path, found[1]) + "}}", path)
    query = [
        {
            "key": one["name"],
            "value": str(one["example"]),
            "description": one["description"],
            "disabled": not one.get("required"),
        }
        for one in parameters(operation, "query")
    ]
    return {
        "raw": "{{baseUrl}}" + filled,
        "host": ["{{baseUrl}}"],
        "path": filled.strip("/").split("/"),
        "query": query,
    }


def first_example(media: Json) -> Any:
    """The example of a body, or the first of several."""
    if "example" in media:
        return media["example"]
    return next(iter(media["examples"].values()))["value"]


def checks(path: str, operation: Json) -> list[str]:
    """The script that looks at the answer; later requests are about what was made."""
    told = operation["responses"]
    good = [int(status) for status in told if status < "400" or status in HARMLESS]
    script = [
        "pm.test('the answer is one that is promised', () => {",
        f"  pm.expect({good}).to.include(pm.response.code);",
        "  pm.expect(pm.response.headers.has('X-Request-Id')).to.be.true;",
        "});",
    ]
    if "links" in told.get("201", {}):
        name = variable(f"{path}/{{id}}", "id")
        script += [
            "pm.test('it says where it is', () => pm.response.to.have.header('Location'));",
            f"pm.collectionVariables.set('{name}', pm.response.json().id);",
        ]
    return script


def answers(made: Json, operation: Json) -> Iterator[Json]:
    """The good answers, as examples."""
    for status, told in operation["responses"].items():
        if status >= "400":
            return
        for kind, media in told.get("content", {}).items():
            example = first_example(media)
            body = example if isinstance(example, str) else json.dumps(example, indent=2)
            yield {
                "name": told["description"],
                "originalRequest": made,
                "code": int(status),
                "header": [{"key": "Content-Type", "value": kind}],
                "body": body,
            }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
