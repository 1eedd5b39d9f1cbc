"""Tokens and metadata in the shapes of well-known providers, read as docs/authentication.md says.

`shapes/*.json`: settings of `[jwt]`, a discovery document, a key's members beside its numbers, and
header and claims of an access token, as these providers write them; ids are made up.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from taskhub.config.issuers import issuers, rules, rules_to_serve
from taskhub.config.sections import JwtSection
from taskhub.http.auth import Principal, Verifier
from taskhub.http.oidc.keyring import Keyring
from taskhub.http.problems import BadToken

from tests.unit.http.oidc.publisher import RSA_KEYS, public_jwk

SHAPES = {
    path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("shapes/*.json")
}
DOCS = (Path(__file__).parents[4] / "docs/authentication.md").read_text()
KID = "1LTMzakihiRla_8z2BEJVXeWMqo"


def line_to(shape: dict[str, Any]) -> Any:
    """Answers as the provider would: at its well-known place, and where that points at."""
    settings, metadata = shape["settings"], shape["metadata"]
    known = settings["authority"].rstrip("/") + "/.well-known/openid-configuration"
    documents = {
        known: metadata,
        metadata["jwks_uri"]: {"keys": [public_jwk(RSA_KEYS[0], "RS256", **shape["jwk"], kid=KID)]},
    }

    async def fetch(address: str) -> bytes:
        return json.dumps(documents[address]).encode()

    return fetch


async def believed(shape: dict[str, Any], **changes: Any) -> Principal:
    """Who a token of this shape speaks of, signed by the provider; `changes` are claims."""
    section = msgspec.convert(shape["settings"], JwtSection)
    keyring = Keyring(fetch=line_to(shape))
    verifier = Verifier(section, keyring=keyring)
    await keyring.hold(issuers(section))["jwt"].look()
    now = int(time.time())
    claims = shape["claims"] | {"iat": now, "nbf": now, "exp": now + 3_600} | changes
    whole = {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(whole, RSA_KEYS[0], "RS256", headers=shape["header"] | {"kid": KID})
    return verifier.principal(f"Bearer {token}")


@pytest.mark.parametrize("name", SHAPES)
async def test_a_token_of_a_known_provider_is_read_whole(name: str) -> None:
    """Scopes and roles stand where each provider puts them."""
    shape = SHAPES[name]

    found = await believed(shape)

    told = {"subject": found.subject, "scopes": set(found.scopes), "roles": set(found.roles)}
    wanted = shape["principal"]
    assert told == wanted | {key: set(wanted[key]) for key in ("scopes", "roles")}


@pytest.mark.parametrize("name", SHAPES)
def test_the_settings_are_right_and_documented(name: str) -> None:
    """What the test sets is what the documentation tells to set."""
    section = msgspec.convert(SHAPES[name]["settings"], JwtSection)

    assert [*rules(section), *rules_to_serve(section)] == []
    for key, value in SHAPES[name]["settings"].items():
        claims = value if isinstance(value, list) else []
        assert [claim for claim in claims if claim not in DOCS] == [], key


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Keycloak's ID token": ("keycloak-user", {"typ": "ID"}),
    "Keycloak's refresh token": ("keycloak-user", {"typ": "Refresh"}),
    "Keycloak's offline token": ("keycloak-user", {"typ": "Offline"}),
    "Keycloak's token bound to a key": ("keycloak-user", {"cnf": {"jkt": "x"}}),
    "Entra's ID token": ("entra-v2-user", {"nonce": "678910"}),
    "Auth0's ID token": ("auth0-user", {"at_hash": "x"}),
    "an ID token of the code flow": ("auth0-user", {"c_hash": "x"}),
    "Cognito's ID token": ("auth0-user", {"token_use": "id"}),
    "a logout token": ("keycloak-user", {"events": {}}),
    "a type that is none": ("keycloak-user", {"typ": 5}),
    "another tenant": ("entra-v2-user", {"iss": "https://login.microsoftonline.com/x/v2.0"}),
    "another API": ("entra-v1-application", {"aud": "api://other"}),
}


@pytest.mark.parametrize(("name", "changes"), OTHERS.values(), ids=OTHERS.keys())
async def test_a_token_for_something_else_is_refused(name: str, changes: dict[str, Any]) -> None:
    """Signed by the right key all the same: an ID token is for its client alone."""
    with pytest.raises(BadToken):
        await believed(SHAPES[name], **changes)


async def test_a_claim_that_is_not_what_it_should_be_gives_no_right() -> None:
    """A path may lead nowhere, or to something that is no list."""
    keycloak = SHAPES["keycloak-user"]
    odds: list[Any] = [None, 5, "x", [], {"roles": {"Operator": True}}, {"roles": [["Operator"]]}]
    for odd in odds:
        found = await believed(keycloak, realm_access=odd, resource_access=None)
        assert found.roles == frozenset(), odd
