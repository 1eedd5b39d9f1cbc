"""`[jwt]` and `[jwt.issuers.NAME]`: from every place, filled in, with the rules that hold there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from taskhub.config import snapshot
from taskhub.config.diff import changes
from taskhub.config.issuers import issuers, rules, rules_to_serve, unsafe
from taskhub.config.load import Loaded, all_keys, check_unit, load, value_of
from taskhub.config.sections import IssuerSection, JwtSection, Secret
from taskhub.errors import ConfigError

KEY = "canary-7b1c-canary-7b1c-canary-7b1c"
FILE = """
[jwt]
authority = "https://id.example.com/realms/main"
audience = "taskhub"

[jwt.issuers.partner]
authority = "https://partner.example/"
scope_claims = ["scope", "permissions"]

[jwt.issuers.scripts]
authority = "scripts"
audience = "scripts-only"
"""


def read(folder: Path, text: str = FILE, environ: dict[str, str] | None = None) -> Loaded:
    """The configuration of a file and of variables."""
    path = folder / "supervisor.toml"
    path.touch(mode=0o600)
    path.write_text(text)
    return load(path, environ or {})


def problems(folder: Path, text: str = FILE, **environ: str) -> list[str]:
    """What is wrong with them."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, environ)
    return [problem.detail for problem in caught.value.problems]


def test_what_an_issuer_leaves_open_is_as_in_jwt(folder: Path) -> None:
    """But for its authority and its key; without a key they are asked of the issuer."""
    key = {"Jwt__Issuers__Scripts__IssuerSigningKey": KEY}
    main, partner, scripts = issuers(read(folder, environ=key).config.jwt)

    assert (main.name, main.place, main.audience) == ("", "jwt", "taskhub")
    assert main.metadata == "https://id.example.com/realms/main/.well-known/openid-configuration"
    assert (partner.name, partner.place) == ("partner", "jwt.issuers.partner")
    assert partner.metadata == "https://partner.example/.well-known/openid-configuration"
    assert (partner.audience, partner.scope_claims) == ("taskhub", ("scope", "permissions"))
    assert partner.role_claims == main.role_claims
    assert (scripts.audience, scripts.metadata) == ("scripts-only", "")
    assert scripts.key.reveal() == KEY


def test_issuers_may_all_have_names() -> None:
    """Then what `[jwt]` says holds for each of them, and there is none of its own."""
    section = JwtSection(
        audience="taskhub", issuers={"a": IssuerSection(authority="https://a.example")}
    )

    assert [issuer.name for issuer in issuers(section)] == ["a"]
    assert [*rules(section), *rules_to_serve(section)] == []


@pytest.mark.parametrize(
    "name",
    [
        "Jwt__Issuers__Partner__Audience",
        "JWT__ISSUERS__PARTNER__AUDIENCE",
        "TASKHUB__JWT__ISSUERS__partner__audience",
    ],
)
def test_a_variable_reaches_an_issuer(folder: Path, name: str) -> None:
    """Nested as .NET nests; stronger than the file, and its origin is told."""
    loaded = read(folder, environ={name: "theirs"})

    assert loaded.config.jwt.issuers["partner"].audience == "theirs"
    assert loaded.origins["jwt.issuers.partner.audience"] == name
    assert loaded.origins["jwt.issuers.partner.authority"].endswith("supervisor.toml:7")


def test_a_credential_and_a_file_reach_an_issuer(folder: Path) -> None:
    """A key is in a file of its own."""
    credentials = folder / "credentials"
    credentials.mkdir()
    for name in ("credentials/jwt.issuers.scripts.issuer_signing_key", "key"):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"{KEY}\n")

    given = read(folder, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    named = read(
        folder, environ={"Jwt__Issuers__Scripts__IssuerSigningKey_FILE": str(folder / "key")}
    )

    for loaded in (given, named):
        assert loaded.config.jwt.issuers["scripts"].issuer_signing_key.reveal() == KEY


def test_a_name_of_two_words_is_the_same_in_a_variable(folder: Path) -> None:
    """Variables have no hyphens."""
    loaded = read(folder, "", {"Jwt__Issuers__Our_Partner__Authority": "https://x.example"})

    assert list(loaded.config.jwt.issuers) == ["our-partner"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[jwt.issuers.a]\nauthorty = "x"', "did you mean jwt.issuers.a.authority?"),
        ("[jwt.issuers.a]", "unknown key; known in [jwt.issuers.NAME]: authority, audience"),
        ("[jwt]\nissuers = 5", "unknown key; known in [jwt.issuers.NAME]: authority, audience"),
        ("[jwt.issuers]\na = 5", "unknown key; known in [jwt.issuers.NAME]"),
        ("[jwt.issuers.a]\naudience = 5", "jwt.issuers.a.audience: expected a text, not 5"),
        ('[jwt.issuers.a.b]\nc = "x"', "unknown key"),
        ('[jwt.issuers.A]\nauthority = "x"', "expected a name of small letters"),
        (
            '[jwt.issuers.a]\nissuer_signing_key = "short"',
            "jwt.issuers.a.issuer_signing_key: expected at least 32 bytes",
        ),
        (
            '[jwt.issuers.a]\nmetadata_address = "http://x.example"',
            "jwt.issuers.a.metadata_address: expected an https address",
        ),
        (
            f'[jwt]\nmetadata_address = "https://x.example"\nissuer_signing_key = "{KEY}"',
            "jwt.metadata_address: expected either this or jwt.issuer_signing_key, not both",
        ),
        (
            '[jwt]\nauthority = "https://a.example"\n[jwt.issuers.a]\nauthority = "https://a.example/"',
            "jwt.issuers.a.authority: expected another than jwt.authority",
        ),
        ('[jwt]\nscope_claims = [""]', "jwt.scope_claims: expected at most 16 claims"),
        (
            "\n".join(f'[jwt.issuers.a{n}]\nauthority = "https://{n}.example"' for n in range(33)),
            "jwt.issuers: expected at most 32 issuers",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key_and_the_rule(folder: Path, text: str, said: str) -> None:
    """Never the value of a key."""
    found = problems(folder, text)

    assert any(said in each for each in found), found
    assert KEY not in " ".join(found)


def test_a_mistake_in_a_variable_is_named(folder: Path) -> None:
    """With the variable, and what may have been meant."""
    (said,) = problems(folder, "", Jwt__Issuers__A__Authorty="x")

    assert said.startswith("Jwt__Issuers__A__Authorty: unknown key; did you mean jwt.issuers.")


@pytest.mark.parametrize(
    ("section", "missing"),
    [
        ({}, {"jwt.issuer_signing_key", "jwt.authority", "jwt.audience"}),
        ({"authority": "us", "audience": "a"}, {"jwt.issuer_signing_key"}),
        ({"authority": "http://id.example", "audience": "a"}, {"jwt.issuer_signing_key"}),
        ({"authority": "https://id.example"}, {"jwt.audience"}),
        ({"metadata_address": "https://id.example/x", "audience": "a"}, {"jwt.authority"}),
        ({"authority": "http://localhost:8080/realms/x", "audience": "a"}, set()),
        ({"authority": "us", "audience": "a", "issuer_signing_key": Secret(KEY)}, set()),
        ({"authority": "us", "audience": "a", "metadata_address": "https://x.example"}, set()),
    ],
)
def test_who_serves_must_know_whose_tokens_to_believe(
    section: dict[str, Any], missing: set[str]
) -> None:
    """A worker needs none of it."""
    assert {key for key, _ in rules_to_serve(JwtSection(**section))} == missing


def test_the_unit_that_serves_is_the_one_that_is_checked(folder: Path) -> None:
    """`taskhub check` and `taskhub run` end with 2."""
    loaded = read(folder, FILE + '[events]\nurl = "redis://127.0.0.1/0"')

    check_unit(loaded, "worker")
    with pytest.raises(ConfigError, match=r"jwt\.issuers\.scripts\.issuer_signing_key: expected"):
        check_unit(loaded, "api")


@pytest.mark.parametrize(
    ("address", "is_unsafe"),
    [
        ("https://id.example.com/realms/main", False),
        ("https://id.example.com:8443?p=policy", False),
        ("http://localhost:8080", False),
        ("http://127.1.2.3", False),
        ("http://[::1]:9", False),
        ("http://id.example.com", True),
        ("http://localhost.example.com", True),
        ("http://127.0.0.1.example.com", True),
        ("http://[::ffff:127.0.0.1]", True),
        ("http://2130706433", True),
        ("https://", True),
        ("https:id.example.com", True),
        ("https://me:secret@id.example.com", True),
        ("https://id.example.com/#x", True),
        ("https://id.example.com/a b", True),
        ("https://id.example.com/\n", True),
        ("https://id.example.com:port", True),
        ("https://[::1", True),
        ("ftp://id.example.com", True),
        ("file:///etc/passwd", True),
        ("us", True),
        ("", True),
    ],
)
def test_keys_come_over_tls_or_from_this_machine(address: str, is_unsafe: bool) -> None:
    """Whoever can answer instead of the issuer can sign tokens."""
    assert unsafe(address) is is_unsafe


def test_changes_of_an_issuer_are_told_and_its_key_is_not(folder: Path) -> None:
    """The difference is logged at a reload."""
    key = {"Jwt__Issuers__Scripts__IssuerSigningKey": KEY}
    old = read(folder, environ=key).config
    key["Jwt__Issuers__Scripts__IssuerSigningKey"] = f"{KEY}2"
    new = read(folder, FILE.replace("https://partner.example/", "https://p.example"), key).config
    new.jwt.issuers["third"] = IssuerSection(authority="https://third.example")

    told = [str(change) for change in changes(old, new)]

    assert told == [
        "jwt.issuers.partner.authority: https://partner.example/ -> https://p.example (in-place)",
        "jwt.issuers.scripts.issuer_signing_key: *** -> *** (another) (in-place)",
        "jwt.issuers.third.authority: (empty) -> https://third.example (in-place)",
    ]


def test_a_worker_is_told_of_no_issuer_key(folder: Path) -> None:
    """User code runs there."""
    config = read(folder, environ={"Jwt__Issuers__Scripts__IssuerSigningKey": KEY}).config

    whole, without = snapshot.encode(config), snapshot.encode(config, ("jwt",))

    assert KEY.encode() in whole
    assert snapshot.decode(whole) == config
    assert KEY.encode() not in without
    issuers = snapshot.decode(without).jwt.issuers.values()
    assert [issuer.issuer_signing_key.reveal() for issuer in issuers] == ["", ""]


def test_every_key_of_an_issuer_has_a_value(folder: Path) -> None:
    """`taskhub config` shows them below the section they belong to."""
    config = read(folder).config
    shown = {key.path: value_of(config, key) for key in all_keys(config)}

    assert shown["jwt.issuers.partner.scope_claims"] == ("scope", "permissions")
    assert shown["jwt.issuers.scripts.issuer_signing_key"] == ""
    sections = [key.section for key in all_keys(config)]
    assert sections == sorted(sections, key=sections.index)


def test_a_key_on_the_command_line_cannot_show_itself(folder: Path) -> None:
    """As for every secret."""
    path = "jwt.issuers.a.issuer_signing_key"
    loaded = load(None, {}, {path: KEY})

    assert KEY not in repr(loaded)
    assert loaded.again({}).config.jwt.issuers["a"].issuer_signing_key.reveal() == KEY
