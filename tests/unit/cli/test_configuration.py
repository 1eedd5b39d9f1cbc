"""check, config and token: what is wrong, what is in force, and no secret on any screen."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from tests.unit.cli.conftest import Run

CANARY = "canary-5d2e-canary-5d2e-canary-5d2e"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """All that a tree needs to serve."""
    monkeypatch.setenv("Jwt__IssuerSigningKey", CANARY)
    monkeypatch.setenv("Jwt__Authority", "https://id.example.com")
    monkeypatch.setenv("Jwt__Audience", "taskhub")
    return CANARY


def test_check_says_ok(run: Run, key: str) -> None:
    """One word."""
    ended = run("check")

    assert (ended.code, ended.out, ended.err) == (0, "ok\n", "")


def test_check_lists_every_mistake(run: Run, folder: Path) -> None:
    """Exit code 2, all of them at once, each with its place."""
    (folder / "supervisor.toml").write_text("[http]\nprot = 1\nport = -1\n")

    ended = run("check")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "taskhub: the configuration has 2 mistakes:",
        "taskhub:   supervisor.toml:2: http.prot: unknown key; did you mean http.port?",
        "taskhub:   supervisor.toml:3: http.port: expected a whole number from 0 to 65535, not -1",
    ]


def test_check_knows_what_a_unit_needs(run: Run) -> None:
    """A tree serves the API, a metrics unit does not."""
    tree, metrics, unknown = (
        run("check"),
        run("check", "--unit", "metrics"),
        run("check", "--unit", "x"),
    )

    assert (tree.code, metrics.code, unknown.code) == (2, 0, 2)
    assert "jwt.issuer_signing_key: expected" in tree.err
    assert "there is no unit 'x'" in unknown.err


def test_check_takes_the_places_that_run_takes(run: Run, folder: Path, key: str) -> None:
    """The same file, the same overrides."""
    (folder / "other.toml").write_text("[http]\nport = 9000\n")

    good = run("check", "--config", "other.toml", "--set", "http.port=9001")
    bad = run("check", "--config", "other.toml", "--set", "http.port=x")
    gone = run("check", "--config", "gone.toml")

    assert (good.code, bad.code, gone.code) == (0, 2, 2)
    assert "command line: http.port: expected a whole number" in bad.err
    assert "gone.toml: cannot be read: no such file or directory" in gone.err


def test_a_warning_goes_to_stderr(run: Run, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no mistake: the code is 0."""
    monkeypatch.setenv("Jtw__Audience", "x")

    ended = run("check")

    assert (ended.code, ended.out) == (0, "ok\n")
    assert ended.err.startswith("taskhub: warning: Jtw__Audience is not ours")


@pytest.mark.parametrize("override", ["http.port", f"jwt.issuer_signing_key={CANARY}"])
def test_an_override_has_a_key_and_no_secret(run: Run, override: str) -> None:
    """Everybody on the machine can read a command line."""
    ended = run("check", "--set", override)

    assert ended.code == 2
    assert CANARY not in ended.err


def test_config_shows_each_value_and_its_origin(run: Run, folder: Path, key: str) -> None:
    """What is in force, and where to change it."""
    (folder / "supervisor.toml").write_text("[http]\nport = 9000\n")

    ended = run("config", "--set", "logs.level=debug")

    lines = [line.split() for line in ended.out.splitlines()]
    assert ["port", "9000", "supervisor.toml:2"] in lines
    assert ["level", "debug", "command", "line"] in lines
    assert ["audience", "taskhub", "Jwt__Audience"] in lines
    assert ["lease", "15", "default"] in lines
    assert ["[jwt]"] in lines


@pytest.mark.parametrize("line", ["config", "config --json", "check", "check --unit x"])
def test_no_command_shows_a_secret(
    run: Run, key: str, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """The canary is nowhere, on neither stream."""
    monkeypatch.setenv("Redis__Password", CANARY)

    ended = run(*line.split())

    assert CANARY not in ended.out + ended.err


def test_config_as_json_has_every_key(run: Run, key: str) -> None:
    """For programs: the value and its origin, a secret as its mask."""
    found = json.loads(run("config", "--json").out)

    assert found["http.port"] == {"value": 8080, "origin": "default"}
    assert found["jwt.issuer_signing_key"] == {"value": "***", "origin": "Jwt__IssuerSigningKey"}
    assert found["redis.password"]["value"] == ""
    assert found["units.metrics"]["value"] == ["metrics", "pusher"]


def test_token_is_signed_with_the_configured_secret(run: Run, key: str) -> None:
    """What an issuer would make: the API believes it."""
    ended = run(
        "token", "--sub", "ann", "--scope", "tasks.read", "--role", "Operator", "--ttl", "60"
    )

    claims = jwt.decode(
        ended.out.strip(), key, ["HS256"], audience="taskhub", issuer="https://id.example.com"
    )
    assert claims["sub"] == "ann"
    assert claims["scope"] == "tasks.read"
    assert claims["roles"] == ["Operator"]
    assert claims["exp"] - claims["iat"] == 60
    assert key not in ended.out


def test_token_has_the_usual_scopes(run: Run, key: str) -> None:
    """Enough for a first task."""
    claims = jwt.decode(run("token").out.strip(), key, ["HS256"], audience="taskhub")

    assert claims["scope"] == "tasks.read tasks.write"
    assert "roles" not in claims


def test_token_takes_the_key_of_dev_in_this_folder(run: Run, folder: Path) -> None:
    """`taskhub dev` in one terminal, `taskhub token` in another."""
    (folder / "data").mkdir()
    (folder / "data/dev.key").write_text(f"{CANARY}\n")

    claims = jwt.decode(
        run("token").out.strip(), CANARY, ["HS256"], audience="taskhub", issuer="taskhub-dev"
    )

    assert claims["sub"] == "developer"


def test_token_without_any_key_says_what_to_do(run: Run) -> None:
    """No secret has a default."""
    ended = run("token")

    assert (ended.code, ended.out) == (2, "")
    assert "run `taskhub dev` in this folder first" in ended.err


def test_token_cannot_be_made_for_an_issuer_that_publishes_its_keys(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the key of dev either: dev makes none then."""
    (folder / "data").mkdir()
    (folder / "data/dev.key").write_text(f"{CANARY}\n")
    monkeypatch.setenv("Jwt__Authority", "https://id.example.com")

    ended = run("token")

    assert (ended.code, ended.out) == (2, "")
    assert "only it makes tokens" in ended.err


def test_check_knows_issuers_that_publish_their_keys(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks nobody: whether the issuer answers is for `/ready` to say."""
    monkeypatch.setenv("Jwt__Authority", "https://id.example.invalid")
    monkeypatch.setenv("Jwt__Audience", "taskhub")
    assert run("check").out == "ok\n"

    monkeypatch.setenv("Jwt__MetadataAddress", "http://id.example.invalid")
    ended = run("check")

    assert ended.code == 2
    assert "Jwt__MetadataAddress: jwt.metadata_address: expected an https address" in ended.err


def test_token_cannot_be_made_with_a_public_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the issuer has the other half."""
    pem = (
        "-----BEGIN PUBLIC KEY-----\n"
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        "-----END PUBLIC KEY-----\n"
    )
    monkeypatch.setenv("Jwt__IssuerSigningKey", pem)

    ended = run("token")

    assert ended.code == 2
    assert "only its issuer makes tokens" in ended.err
