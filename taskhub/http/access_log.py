"""Makes a line of the access log of what is told of an answer; only where it is switched on."""

from __future__ import annotations

import msgspec

from taskhub.obs.telemetry import RequestServed


def logged(served: RequestServed, size: int, address: str, subject: str = "") -> RequestServed:
    """The same, told aloud: with the bytes of the body, who asked, and from where."""
    return msgspec.structs.replace(
        served, is_access=True, size=size, address=address, subject=subject
    )
