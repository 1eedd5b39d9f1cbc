"""Whatever ends in a traceback or a log: no object shows a secret that it holds."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.app.kin import Snapshot
from taskhub.cli.client import Client
from taskhub.client import TaskHub
from taskhub.config.issuers import issuers
from taskhub.config.keys import key_of
from taskhub.config.settings import setting
from taskhub.config.snapshot import encode
from taskhub.events.redis_line import Address
from taskhub.http.auth import Verifier
from taskhub.http.keys import configured_key

from tests.unit.app.household import KEY, Household

PASSWORD = "a password"
TOKEN = "a.canary.x"


def objects(house: Household) -> dict[str, Any]:
    """Everything that was given a secret."""
    config = house.loaded.config
    key = key_of("redis.password")
    assert key is not None
    return {
        "configuration": config,
        "loaded": house.loaded,
        "section": config.redis,
        "secret": config.redis.password,
        "setting": setting(key, PASSWORD, "here"),
        "process": house.process,
        "snapshot": Snapshot(encode(config), "api", "api-1", "o", "r", "s", "p", "f"),
        "issuer": issuers(config.jwt),
        "signing key": configured_key(issuers(config.jwt)[0]),
        "verifier": Verifier(config.jwt),
        "address": Address.parse(config.events.url, config.redis, "x"),
        "client": Client("http://127.0.0.1", TOKEN),
        "asynchronous client": TaskHub("http://127.0.0.1", TOKEN),
    }


@pytest.mark.parametrize("form", [repr, str, "{}".format, "{!r:>9}".format, "%s".__mod__])
async def test_no_object_shows_its_secret(house: Household, form: Any) -> None:
    """In every way in which an object becomes a text."""
    for name, each in objects(house).items():
        text = form((each,)) if form == "%s".__mod__ else form(each)
        assert KEY not in text, name
        assert PASSWORD not in text, name
        assert TOKEN not in text, name


async def test_the_control_an_encoded_configuration_holds_them(house: Household) -> None:
    """They are there to be shown: the test above would see them."""
    assert PASSWORD.encode() in encode(house.loaded.config)
    assert KEY in house.loaded.config.jwt.issuer_signing_key.reveal()
