"""Tokens: a table of what is believed and what is not, at the level of a request and below."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from taskhub.config.issuers import issuers
from taskhub.config.sections import ROLE_URI, JwtSection, Secret
from taskhub.errors import ConfigProblem
from taskhub.http.auth import CACHE_LIMIT, Verifier
from taskhub.http.issuer import SUBJECT_LENGTH
from taskhub.http.keys import configured_key, jwt_problems
from taskhub.http.problems import BadToken, LongSubject

from tests.unit.http.house import AUDIENCE, CONFIG, ISSUER, SECRET, House, bearer, token

NOW = int(time.time())
GOOD: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 36_000}


def packed(value: Any) -> str:
    """One part of a token; text is taken as it is."""
    raw = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(raw.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def signed(claims: Any, header: Any = None, secret: str = SECRET) -> str:
    """A token of anything at all, rightly signed: no library would make these."""
    text = f"{packed(header or {'alg': 'HS256', 'typ': 'JWT'})}.{packed(claims)}"
    mark = hmac.digest(secret.encode(), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


def unsigned(algorithm: str) -> str:
    """A token that says it needs no signature."""
    return f"{packed({'alg': algorithm, 'typ': 'JWT'})}.{packed(GOOD)}."


def exp(text: str) -> str:
    """A token whose `exp` is written so."""
    claims = json.dumps({name: value for name, value in GOOD.items() if name != "exp"})
    return signed(f'{claims[:-1]},"exp":{text}}}')


LEEWAY = CONFIG.jwt.leeway
BAD_TOKENS: dict[str, str] = {
    "none": unsigned("none"),
    "None": unsigned("None"),
    "nOnE": unsigned("nOnE"),
    "no algorithm": signed(GOOD, {"typ": "JWT"}),
    "another secret": signed(GOOD, secret="x" * 40),
    "another algorithm": signed(GOOD, {"alg": "RS256"}),
    "kid of a path": signed(GOOD, {"alg": "HS256", "kid": 5}),
    "kid as a list": signed(GOOD, {"alg": "HS256", "kid": ["x"]}),
    "typ of another kind": signed(GOOD, {"alg": "HS256", "typ": "logout+jwt"}),
    "typ as a number": signed(GOOD, {"alg": "HS256", "typ": 5}),
    "crit": signed(GOOD, {"alg": "HS256", "crit": ["x"], "x": 1}),
    "b64": signed(GOOD, {"alg": "HS256", "b64": False}),
    "b64 with crit": signed(GOOD, {"alg": "HS256", "b64": False, "crit": ["b64"]}),
    "past": signed(GOOD | {"exp": NOW - LEEWAY - 2}),
    "no exp": exp("null"),
    "exp as a text": exp(f'"{NOW + 36_000}"'),
    "exp as true": exp("true"),
    "exp too large": exp("1e400"),
    "exp of 5000 digits": exp("9" * 5_000),
    "exp NaN": exp("NaN"),
    "nbf to come": signed(GOOD | {"nbf": NOW + 3_600}),
    "nbf as a text": signed(GOOD | {"nbf": "soon"}),
    "iat to come": signed(GOOD | {"iat": NOW + 3_600}),
    "aud wrong": signed(GOOD | {"aud": "other"}),
    "aud of numbers": signed(GOOD | {"aud": [1, 2]}),
    "aud as a dict": signed(GOOD | {"aud": {AUDIENCE: 1}}),
    "aud absent": signed({k: v for k, v in GOOD.items() if k != "aud"}),
    "iss wrong": signed(GOOD | {"iss": "https://evil.example"}),
    "iss as a list": signed(GOOD | {"iss": [ISSUER]}),
    "iss absent": signed({k: v for k, v in GOOD.items() if k != "iss"}),
    "iss with a slash": signed(GOOD | {"iss": ISSUER + "/"}),
    "iss a part of ours": signed(GOOD | {"iss": ISSUER[:8]}),
    "sub with a lone surrogate": signed(
        f'{{"iss":"{ISSUER}","aud":"taskhub","exp":{NOW + 36_000},"sub":"\\ud800"}}'
    ),
    "sub as a number": signed(GOOD | {"sub": 5}),
    "sub of controls": signed(GOOD | {"sub": "a\nb"}),
    "claims as a list": signed([1]),
    "claims nested deeply": signed("[" * 5_000 + "]" * 5_000),
    "claims no JSON": signed("{"),
    "too long": signed(GOOD | {"x": "y" * 100_000}),
    "four parts": signed(GOOD) + ".x",
    "two parts": signed(GOOD).rpartition(".")[0],
    "padded": signed(GOOD) + "=",
    "a space before": " " + signed(GOOD),
    "a line feed after": signed(GOOD) + "\n",
    "not ASCII": signed(GOOD) + "ä",
    "empty": "",
}


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_bad_token_is_refused(bad: str) -> None:
    """Each of these has once been believed by somebody's library."""
    with pytest.raises(BadToken):
        Verifier(CONFIG.jwt).principal(f"Bearer {bad}")


GOOD_TOKENS: dict[str, str] = {
    "plain": signed(GOOD),
    "typ absent": signed(GOOD, {"alg": "HS256"}),
    "typ of an access token": signed(GOOD, {"alg": "HS256", "typ": "at+JWT"}),
    "longer hash": jwt.encode(GOOD, SECRET * 2, "HS512"),
    "aud in a list": signed(GOOD | {"aud": ["other", AUDIENCE]}),
    "exp with a fraction": signed(GOOD | {"exp": NOW + 36_000.5}),
    "kid unknown": signed(GOOD, {"alg": "HS256", "kid": "../../dev/null"}),
}


@pytest.mark.parametrize("good", GOOD_TOKENS.values(), ids=GOOD_TOKENS.keys())
def test_a_good_token_is_believed(good: str) -> None:
    """The table above would be worthless if nothing passed."""
    secret = SECRET * 2 if good == GOOD_TOKENS["longer hash"] else SECRET
    section = section_of(secret, leeway=300.0)

    assert Verifier(section).principal(f"bearer {good}").subject == "alice"


def test_a_token_is_believed_a_little_longer() -> None:
    """Clocks differ; this token is made here, since NOW may be minutes ago."""
    late = signed(GOOD | {"exp": int(time.time()) - 1})

    assert Verifier(section_of(SECRET, leeway=300.0)).principal(f"Bearer {late}").subject == "alice"


def test_an_address_in_the_header_is_not_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    """`jku` and `x5u` name a server of the attacker with a fitting key; `jwk` brings it along."""
    asked: list[object] = []
    monkeypatch.setattr("socket.socket.connect", lambda *args: asked.append(args))
    header = {"alg": "HS256", "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}
    key = {"kty": "oct", "k": packed("x" * 40)}

    with pytest.raises(BadToken):
        Verifier(CONFIG.jwt).principal(f"Bearer {signed(GOOD, header | {'jwk': key}, 'x' * 40)}")

    assert asked == []


CLAIMS: list[tuple[dict[str, Any], set[str], set[str]]] = [
    ({"scope": "a tasks.write"}, {"a", "tasks.write"}, set()),
    ({"scope": ["a", "tasks.write"]}, {"a", "tasks.write"}, set()),
    ({"scp": "a b"}, {"a", "b"}, set()),
    ({"scp": ["a b"], "scope": "c"}, {"a b", "c"}, set()),
    ({"scope": ""}, set(), set()),
    ({"scope": "  "}, set(), set()),
    ({"scope": 5, "scp": {"a": 1}}, set(), set()),
    ({"scope": [["a"], 5, None, ""]}, set(), set()),
    ({"role": "Admin"}, set(), {"Admin"}),
    ({"role": ["Admin", "Operator"]}, set(), {"Admin", "Operator"}),
    ({"roles": ["Admin", 5]}, set(), {"Admin"}),
    ({ROLE_URI: "Task.Creator"}, set(), {"Task.Creator"}),
    ({"roles": "Admin Operator"}, set(), {"Admin Operator"}),
    ({"roles": {"Admin": True}}, set(), set()),
]


@pytest.mark.parametrize(("claims", "scopes", "roles"), CLAIMS, ids=str)
def test_scopes_and_roles_are_read_in_every_usual_form(
    claims: dict[str, Any], scopes: set[str], roles: set[str]
) -> None:
    """What is in no usual form gives no right, and no error."""
    found = Verifier(CONFIG.jwt).principal(f"Bearer {signed(GOOD | claims)}")

    assert (set(found.scopes), set(found.roles)) == (scopes, roles)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def test_a_token_is_checked_once_a_minute_and_never_after_its_end() -> None:
    """The cache saves the signature's check, not the clock's."""
    clock, end = Clock(), int(time.time()) + 30  # PyJWT's own clock may be minutes past NOW
    clock.now = float(end - 30)
    verifier = Verifier(CONFIG.jwt, clock)
    header = f"Bearer {signed(GOOD | {'exp': end})}"

    first = verifier.principal(header)

    assert verifier.principal(header) is first
    assert first.until == end + LEEWAY
    clock.now = first.until
    assert verifier.principal(header) is not first  # looked at again (and its end is PyJWT's now)


def test_a_long_living_token_is_looked_at_each_minute() -> None:
    """A key that is withdrawn does not live on in a cache."""
    verifier = Verifier(CONFIG.jwt, Clock())

    assert verifier.principal(f"Bearer {signed(GOOD)}").until == NOW + 60


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many good tokens come, memory stays."""
    monkeypatch.setattr("taskhub.http.auth.CACHE_LIMIT", 3)
    verifier = Verifier(CONFIG.jwt)

    for number in range(5):
        verifier.principal(f"Bearer {signed(GOOD | {'jti': str(number)})}")

    assert len(verifier._good) == 3
    assert CACHE_LIMIT <= 10_000


def test_a_bad_token_is_not_remembered() -> None:
    """Strangers cannot fill the cache."""
    verifier = Verifier(CONFIG.jwt)

    with pytest.raises(BadToken):
        verifier.principal("Bearer a.b.c")

    assert not verifier._good


def test_a_subject_that_is_too_long_is_told() -> None:
    """403 with the reason: the token is good, and its holder can do nothing about a 401."""
    verifier = Verifier(CONFIG.jwt)
    longest = "\N{SNOWMAN}" * SUBJECT_LENGTH

    assert verifier.principal(f"Bearer {signed(GOOD | {'sub': longest})}").subject == longest
    with pytest.raises(LongSubject, match=f"the {SUBJECT_LENGTH} characters"):
        verifier.principal(f"Bearer {signed(GOOD | {'sub': longest + 'x'})}")


def test_a_program_may_be_named_by_its_client_id() -> None:
    """A person's token never: `azp` is the program that all of them use."""
    verifier = Verifier(CONFIG.jwt)
    whole = {name: value for name, value in GOOD.items() if name != "sub"} | {"azp": "console"}

    assert verifier.principal(f"Bearer {signed(whole)}").subject == ""
    robot = signed(whole | {"client_id": "robot"})
    assert verifier.principal(f"Bearer {robot}").subject == "robot"


def public_pem(key: Any) -> str:
    """A public key in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem.decode()


def section_of(secret: str, **other: Any) -> JwtSection:
    """`[jwt]` with this key."""
    whole = {"authority": ISSUER, "audience": AUDIENCE, "issuer_signing_key": Secret(secret)}
    return JwtSection(**(whole | other))


RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: RSA_KEY, "RS256"),
        (lambda: RSA_KEY, "PS512"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
    ids=["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
)
def test_a_public_key_believes_its_own_algorithms(make: Callable[[], Any], algorithm: str) -> None:
    """Also in one line, as environment files write it; and no HMAC with the key as a secret."""
    key = make()
    pem = public_pem(key)
    verifier = Verifier(section_of(pem.replace("\n", "\\n")))

    good = jwt.encode(GOOD, key, algorithm)

    assert verifier.principal(f"Bearer {good}").subject == "alice"
    for forged in (signed(GOOD, secret=pem), signed(GOOD, secret=pem.strip())):
        with pytest.raises(BadToken):
            verifier.principal(f"Bearer {forged}")


def private_pem() -> str:
    """A private key in PEM."""
    return RSA_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize(
    ("section", "place"),
    [
        (section_of("k" * 31), "jwt.issuer_signing_key"),
        (section_of("changeme"), "jwt.issuer_signing_key"),
        (section_of("", authority="us"), "jwt.issuer_signing_key"),
        (
            section_of("-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----"),
            "jwt.issuer_signing_key",
        ),
        (section_of(private_pem()), "jwt.issuer_signing_key"),
        (
            section_of(
                public_pem(rsa.generate_private_key(public_exponent=65_537, key_size=1_024))  # noqa: S505 - refused
            ),
            "jwt.issuer_signing_key",
        ),
        (section_of(public_pem(ec.generate_private_key(ec.SECP256K1()))), "jwt.issuer_signing_key"),
        (section_of(SECRET, authority=""), "jwt.authority"),
        (section_of(SECRET, audience=""), "jwt.audience"),
        (section_of(SECRET, metadata_address="https://x"), "jwt.metadata_address"),
        (section_of("", metadata_address="http://x"), "jwt.metadata_address"),
    ],
    ids=[
        "short",
        "word",
        "none",
        "no PEM",
        "private",
        "small RSA",
        "odd curve",
        "authority",
        "audience",
        "a key and metadata",
        "plain metadata",
    ],
)
def test_a_bad_key_is_named_but_not_shown(section: JwtSection, place: str) -> None:
    """The operator reads which setting is wrong; the log does not read the secret."""
    with pytest.raises(ConfigProblem) as raised:
        Verifier(section)

    assert raised.value.place == place
    secret = section.issuer_signing_key.reveal()
    assert not secret or secret not in raised.value.detail
    assert [problem.place for problem in jwt_problems(section)] == [place]


def test_a_key_does_not_show_itself() -> None:
    """A traceback with local variables is no leak."""
    assert SECRET not in repr(configured_key(issuers(CONFIG.jwt)[0]))


REQUESTS: dict[str, tuple[dict[str, str], int]] = {
    "nothing": ({}, 401),
    "a scheme alone": ({"Authorization": "Bearer"}, 401),
    "another scheme": ({"Authorization": "Basic YTpi"}, 401),
    "a small letter": ({"Authorization": f"bearer {token()}"}, 201),
    "a bad token": ({"Authorization": "Bearer a.b.c"}, 401),
    "100 kB": ({"Authorization": "Bearer " + "x" * 100_000}, 431),
    "another scope": (bearer(scope="tasks.writes"), 403),
    "a longer scope": (bearer(scope="tasks.write.x xtasks.write"), 403),
    "a loud scope": (bearer(scope="TASKS.WRITE"), 403),
    "no scope": (bearer(scope=None), 403),
    "an odd scope": (bearer(scope={"tasks.write": True}), 403),
    "a list": (bearer(scope=["tasks.write"]), 201),
    "a role": (bearer(scope=None, roles=["Task.Creator"]), 201),
    "a role of .NET": (bearer(scope=None, **{ROLE_URI: "Task.Creator"}), 201),
    "no subject": (bearer(sub=None), 201),
}


@pytest.mark.parametrize(("headers", "status"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_who_may_create(house: House, headers: dict[str, str], status: int) -> None:
    """The answer to a bad token is the same whatever the reason; to a small one it names more."""
    del house.client.headers["Authorization"]

    reply = await house.ask("POST", "/tasks", json={"title": "x"}, headers=headers)

    assert reply.status == status
    if status == 401:
        assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
        assert reply.json["detail"] == "A valid bearer token is needed."
    if status == 403:
        challenge = reply.headers["WWW-Authenticate"]
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="tasks.write"' in challenge


async def test_every_401_has_the_same_body(house: House) -> None:
    """Reasons help attackers; the log has the id."""
    bodies = set()
    for bad in ("Basic x", "Bearer a.b.c", f"Bearer {BAD_TOKENS['past']}"):
        headers = {"Authorization": bad, "X-Request-Id": "same"}
        bodies.add((await house.ask("GET", "/tasks", headers=headers)).body)

    assert len(bodies) == 1


@pytest.mark.parametrize("swapped", [False, True])
async def test_two_authorizations_are_400(house: House, swapped: bool) -> None:
    """One proxy may read the first, the next one the last: nobody guesses here."""
    fields = [("Authorization", f"Bearer {token()}"), ("Authorization", "Bearer a.b.c")]
    lines = "".join(f"{n}: {v}\r\n" for n, v in (reversed(fields) if swapped else fields))

    answer = await house.raw(
        f"GET /tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 400 ")
