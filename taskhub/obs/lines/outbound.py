"""What calls to other hosts read like in the log."""

from __future__ import annotations

from taskhub.obs import telemetry as t
from taskhub.obs.lines.line import Line, Told
from taskhub.obs.telemetry import Telemetry


def _opened(event: t.BreakerOpened) -> Told:
    said = f"failed {event.failures} times in a row, left alone for {event.rest:g} s"
    return f"BreakerOpened {event.host}: {said}", {
        "Host": event.host,
        "Failures": event.failures,
        "RestSeconds": event.rest,
    }


def _closed(event: t.BreakerClosed) -> Told:
    return f"BreakerClosed {event.host} after {event.seconds:.0f} s", {
        "Host": event.host,
        "DownSeconds": round(event.seconds, 3),
    }


def _behind(event: t.WebhookFellBehind) -> Told:
    text = f"{event.events} events were deleted before they were forwarded"
    return f"WebhookFellBehind {event.webhook}: {text}", {
        "Webhook": event.webhook,
        "Events": event.events,
    }


LINES: dict[type[Telemetry], Line] = {
    t.BreakerOpened: Line(_opened, "pool"),
    t.BreakerClosed: Line(_closed, "pool"),
    t.WebhookFellBehind: Line(_behind, "webhooks"),
}
