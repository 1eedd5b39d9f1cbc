"""What the documentation tells receivers to do works, and refuses what it must."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from taskhub.work.outbound.signing import signed

from tests.unit.docs.receivers import program, python_receiver

SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
OTHER = f"whsec_{b64encode(bytes(32)).decode()}"
BODY = '{"title":"Zoë"}'.encode()
Check = Callable[[str, Mapping[str, str], bytes], bool]

NODE = """
import {{ isFromTaskHub }} from "./receiver.mjs";
let text = "";
for await (const piece of process.stdin) text += piece;
const cases = JSON.parse(text);
console.log(JSON.stringify(cases.map(([secret, headers, body]) =>
  isFromTaskHub(secret, headers, Buffer.from(body, "base64")))));
"""


def node_receiver(folder: Path) -> Check:
    """The same of the page's Node.js program."""
    if shutil.which("node") is None:
        pytest.skip("needs Node.js 18 or newer")
    (folder / "receiver.mjs").write_text(program("js"), "utf-8")
    (folder / "main.mjs").write_text(NODE.format(), "utf-8")

    def check(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        case = json.dumps([[secret, dict(headers), b64encode(body).decode()]])
        done = subprocess.run(
            ["node", "main.mjs"],
            cwd=folder,
            input=case,
            capture_output=True,
            text=True,
            check=True,
        )
        (answer,) = json.loads(done.stdout)
        return bool(answer)

    return check


@pytest.fixture(params=["python", "js"])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Check:
    """Both programs of the page."""
    return python_receiver() if request.param == "python" else node_receiver(tmp_path)


def test_the_receivers_of_the_page_know_us_and_nobody_else(check: Check) -> None:
    """One secret or several, a body of any bytes; nothing old, nothing changed, nothing foreign."""
    now = int(time.time())
    ours = signed(SECRET, "msg-1", now, BODY)

    assert check(SECRET, ours, BODY)
    assert check(SECRET, signed(f"{OTHER} {SECRET}", "msg-1", now, BODY), BODY)
    assert not check(OTHER, ours, BODY)
    assert not check(SECRET, ours, BODY + b" ")
    assert not check(SECRET, ours | {"webhook-id": "msg-2"}, BODY)
    assert not check(SECRET, ours | {"webhook-timestamp": str(now - 1)}, BODY)
    assert not check(SECRET, signed(SECRET, "msg-1", now - 301, BODY), BODY)
    assert not check(SECRET, ours | {"webhook-signature": "v1,"}, BODY)
    assert not check(SECRET, ours | {"webhook-signature": "v2,x v1,é"}, BODY)
