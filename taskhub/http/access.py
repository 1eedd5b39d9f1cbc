"""Who may use a route: the grants of the route table, or those that the configuration sets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from taskhub.config.policies import OWN, Grant, Policies, grant
from taskhub.http.auth import Principal


class Holders(msgspec.Struct, frozen=True):
    """Everybody who has one of the scopes, or one of the roles."""

    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def include(self, who: Principal) -> bool:
        """Whether this principal is one of them."""
        return not (who.scopes.isdisjoint(self.scopes) and who.roles.isdisjoint(self.roles))


class Access(msgspec.Struct, frozen=True):
    """`full`: who may with everything; `own`: who may with what they have made themselves."""

    full: Holders = Holders()
    own: Holders = Holders()

    def admits(self, who: Principal) -> bool:
        """Whether this principal may use the route at all."""
        return self.full.include(who) or self.own.include(who)

    def covers(self, who: Principal, maker: str) -> bool:
        """Whether they may with what `maker` has made; nobody without a subject owns anything."""
        is_own = bool(maker) and maker == who.subject
        return self.full.include(who) or (is_own and self.own.include(who))

    @property
    def grants(self) -> tuple[str, ...]:
        """The texts of this access, as `[policies]` would have them."""
        return (*_texts(self.own, f"{OWN} "), *_texts(self.full, ""))

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that opens the route, to the full or not."""
        return tuple(dict.fromkeys(self.full.scopes + self.own.scopes))

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role that does."""
        return tuple(dict.fromkeys(self.full.roles + self.own.roles))


def access(*texts: str) -> Access:
    """What these grants allow; raises ValueError at one that is none."""
    grants = [grant(text) for text in texts]
    return Access(
        full=_holders([each for each in grants if not each.own]),
        own=_holders([each for each in grants if each.own]),
    )


def access_under(policies: Policies, route: str, usual: Access) -> Access:
    """Who may use a route: as the configuration says, or as usual."""
    texts = policies.get(route)
    return usual if texts is None else access(*texts)


def _holders(grants: Sequence[Grant]) -> Holders:
    return Holders(
        scopes=tuple(each.name for each in grants if each.is_scope),
        roles=tuple(each.name for each in grants if not each.is_scope),
    )


def _texts(holders: Holders, prefix: str) -> list[str]:
    scopes = [f"{prefix}scope:{name}" for name in holders.scopes]
    return scopes + [f"{prefix}role:{name}" for name in holders.roles]
