"""What a child process is given, and that no secret shows on the way."""

from __future__ import annotations

import copy
import json
import traceback

import msgspec
import pytest
from taskhub.config import snapshot
from taskhub.config.load import load
from taskhub.config.sections import Config, JwtSection, RedisSection, Secret
from taskhub.errors import ConfigError

CANARY = "canary-7b1c-canary-7b1c-canary-7b1c"
CONFIG = Config(
    jwt=JwtSection(issuer_signing_key=Secret(CANARY), authority="us"),
    redis=RedisSection(password=Secret(CANARY)),
)


def test_a_configuration_survives_as_bytes() -> None:
    """A child has exactly what the root has accepted."""
    again = snapshot.decode(snapshot.encode(CONFIG))

    assert again == CONFIG
    assert again.jwt.issuer_signing_key.reveal() == CANARY
    assert isinstance(again.redis.password, Secret)


def test_a_workers_bytes_have_no_key_of_tokens() -> None:
    """User code runs there."""
    data = snapshot.encode(CONFIG, without_secrets_of=("jwt", "redis"))

    assert CANARY.encode() not in data
    assert snapshot.decode(data).jwt == JwtSection(authority="us")


def test_a_snapshot_may_keep_one_secret_and_leave_another() -> None:
    """A worker needs the event server's password."""
    again = snapshot.decode(snapshot.encode(CONFIG, without_secrets_of=("jwt",)))

    assert again.jwt.issuer_signing_key.reveal() == ""
    assert again.redis.password.reveal() == CANARY


def test_other_bytes_are_no_configuration() -> None:
    """A torn pipe must not start a child on defaults."""
    with pytest.raises(msgspec.DecodeError):
        snapshot.decode(b"\xc1")
    with pytest.raises(msgspec.DecodeError):
        snapshot.decode(msgspec.msgpack.encode({"htp": {}}))


def test_a_secret_does_not_show_itself() -> None:
    """Whoever prints, formats or logs it sees a mask."""
    secret = Secret(CANARY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>80}",
        f"{secret!r}",
        "%s %r" % (secret, secret),  # noqa: UP031 - the other ways are in the list already
        "{}".format(secret),  # noqa: UP032 - as above
        repr(CONFIG),
        repr([secret]),
        repr({"key": secret}),
    ]

    assert [text for text in shown if CANARY in text] == []
    assert secret.reveal() == CANARY
    assert type(secret.reveal()) is str


def test_an_empty_secret_shows_that_it_is_empty() -> None:
    """A mask over nothing would say that there is one."""
    assert (str(Secret("")), repr(Secret(""))) == ("", "''")


def test_a_secret_made_of_a_secret_is_the_same() -> None:
    """Its mask would be a fine key otherwise."""
    secret = Secret(CANARY)

    assert Secret(secret).reveal() == CANARY
    assert copy.deepcopy(secret).reveal() == CANARY


def test_a_secret_cannot_slip_into_msgpack_or_json_of_others() -> None:
    """Logs and answers are encoded by msgspec: it refuses."""
    with pytest.raises(TypeError):
        msgspec.json.encode(CONFIG)
    with pytest.raises(TypeError):
        msgspec.msgpack.encode({"key": Secret(CANARY)})


@pytest.mark.parametrize(
    "environ",
    [
        {"Jwt__IssuerSigningKey": "canary"},
        {"Jwt__IssuerSigningKye": CANARY},
        {"TASKHUB__JTW__ISSUER_SIGNING_KEY": CANARY},
        {"Jwt__IssuerSigningKey_FILE": CANARY},
        {"Jwt__IssuerSigningKey": CANARY, "JWT__ISSUERSIGNINGKEY": f"{CANARY}2"},
        {"Jwt__IssuerSigningKey": f"-----BEGIN PUBLIC KEY-----\n{CANARY}"},
        {"Jwt__IssuerSigningKey": f"-----BEGIN PRIVATE KEY-----\n{CANARY}"},
        {"Events__Url": f"redis://:{CANARY}@host/0"},
        {"Events__Url": f"http://me:{CANARY}@host/0"},
        {"Http__Port": f"http://me:{CANARY}@host/0"},
    ],
)
def test_no_error_shows_a_secret(environ: dict[str, str]) -> None:
    """Not in its text, not in its repr, not in the traceback with all it was caused by."""
    with pytest.raises(ConfigError) as caught:
        load(None, environ)

    trace = "".join(traceback.format_exception(caught.value))
    assert "canary" not in f"{caught.value} {caught.value!r} {trace}"


def test_a_secret_of_the_file_does_not_show_in_its_errors(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Of the wrong type, in the wrong place, in a line that is no TOML."""
    folder = tmp_path_factory.mktemp("config")
    texts = [
        f"[jwt]\nissuer_signing_key = ['{CANARY}']",
        f"[jwt]\nissuer_signing_kye = '{CANARY}'",
        f"[jtw]\nissuer_signing_key = '{CANARY}'",
        f"[jwt]\nissuer_signing_key = {CANARY}",
        f"[jwt]\nissuer_signing_key = '{CANARY}",
        f"jwt = '{CANARY}'",
    ]
    for text in texts:
        (folder / "supervisor.toml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(folder / "supervisor.toml", {})
        trace = "".join(traceback.format_exception(caught.value))
        assert CANARY not in f"{caught.value!r} {trace}", text


def test_json_of_the_standard_library_is_the_known_hole() -> None:
    """`json.dumps` takes a str's inside; that is why nothing of ours uses it for configuration."""
    assert CANARY in json.dumps(Secret(CANARY))
