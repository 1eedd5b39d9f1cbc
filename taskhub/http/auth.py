"""Who asks: bearer tokens (JWT, RFC 7519 and 9068) become principals; it decides no rights."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import msgspec

from taskhub.config.issuers import Issuer, issuers
from taskhub.config.sections import JwtSection
from taskhub.http.issuer import Judge, NoKeyFits, needs_public_keys, said_issuer
from taskhub.http.keys import SigningKey, configured_key, jwt_problems
from taskhub.http.oidc.keyring import Keyring
from taskhub.http.oidc.provider import Provider
from taskhub.http.problems import BadToken
from taskhub.http.pyjwt import pyjwt

TOKEN_LIMIT = 8_192
CACHE_LIMIT = 4_096
CACHE_SECONDS = 60.0

TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

REFUSALS = (ValueError, TypeError, OverflowError, RecursionError, msgspec.MsgspecError)
"""What is raised at tokens made to hurt, beside PyJWT's own errors: all of it means no."""


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Who asks, as one verified token says.

    `subject` may be empty (a token without `sub`); `key` never is: it sets one client's
    Idempotency-Keys apart from another's. `until` is the time (seconds since 1970) up to which
    this may be believed without looking at the token again.
    """

    subject: str
    key: str
    scopes: frozenset[str]
    roles: frozenset[str]
    until: float


class Verifier:
    """Checks tokens of every issuer of `[jwt]`; remembers those that were good.

    `keyring` keeps the keys that issuers publish, over reloads. Raises ConfigProblem, naming the
    setting and never its value, when it cannot be made.
    """

    def __init__(
        self,
        section: JwtSection,
        clock: Callable[[], float] = time.time,
        keyring: Keyring | None = None,
    ) -> None:
        for problem in jwt_problems(section):
            raise problem
        self._clock, self.keyring = clock, keyring or Keyring()
        found = issuers(section)
        sources = self._sources(found)
        library = pyjwt(for_public_keys=needs_public_keys(sources))
        self._refusals = (library.PyJWTError, *REFUSALS)
        self._judges = {
            issuer.authority.rstrip("/"): Judge(issuer, source, library, section.issuers)
            for issuer, source in zip(found, sources, strict=True)
        }
        self._good: dict[str, tuple[Principal, SigningKey]] = {}

    def _sources(self, found: Sequence[Issuer]) -> list[SigningKey | Provider]:
        providers = self.keyring.hold(found)
        return [configured_key(issuer) or providers[issuer.place] for issuer in found]

    async def find(self, header: str) -> Principal:
        """Who sent this `Authorization` field; waits for keys that may just have come.

        Raises BadToken, whatever the reason; KeysAway when nobody can say.
        """
        try:
            return self.principal(header)
        except NoKeyFits as missing:
            await missing.provider.renewed(missing.kid)
        try:
            return self.principal(header)
        except NoKeyFits:
            raise BadToken from None

    def principal(self, header: str) -> Principal:
        """The same as far as it can be said at once; raises NoKeyFits where it cannot."""
        if (known := self.known(header)) is not None:
            return known
        self._good.pop(header, None)
        principal, key = self._check(header)
        if len(self._good) >= CACHE_LIMIT:
            del self._good[next(iter(self._good))]
        self._good[header] = principal, key
        return principal

    def known(self, header: str) -> Principal | None:
        """Who sent this field, where it was good before and still is."""
        if (found := self._good.get(header)) is None:
            return None
        principal, key = found
        return None if key.is_gone or self._clock() >= principal.until else principal

    def remembers(self, header: str) -> bool:
        """Whether this field was good before: then it is no guess, though it may have ended."""
        return header in self._good

    def _check(self, header: str) -> tuple[Principal, SigningKey]:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or len(token) > TOKEN_LIMIT or not TOKEN.fullmatch(token):
            raise BadToken
        try:
            proven = self._judge_of(token).judge(token)
        except self._refusals:
            raise BadToken from None
        principal = Principal(
            subject=proven.subject,
            key=proven.key,
            scopes=proven.scopes,
            roles=proven.roles,
            until=min(proven.ends, self._clock() + CACHE_SECONDS),
        )
        return principal, proven.signed_by

    def _judge_of(self, token: str) -> Judge:
        """By the `iss` that the token claims; the judge looks whether that is true.

        Other people's tokens thus ask for no keys.
        """
        judge = self._judges.get(said_issuer(token).rstrip("/"))
        if judge is None:
            raise BadToken
        return judge
