"""What the world around reads like in the log."""

from __future__ import annotations

from datetime import UTC, datetime

from taskhub.obs import telemetry as t
from taskhub.obs.lines.line import Line, Told, filled, ms, plain
from taskhub.obs.telemetry import Level, Telemetry

DAY = 86_400
SOON_DAYS = 14
"""A certificate that ends within so many days is a warning."""


def _state_changed(event: t.StateChanged) -> Told:
    why = f": {event.detail}" if event.detail else ""
    return f"StateChanged {event.part} {event.state}{why}", filled(
        {
            "Part": event.part,
            "State": event.state,
            "Detail": event.detail,
        }
    )


def _state_level(event: t.StateChanged) -> Level:
    return {"ok": Level.INFO, "failed": Level.ERROR}.get(event.state, Level.WARNING)


def _reloaded(event: t.Reloaded) -> Told:
    changes, later = "; ".join(event.changes), "; ".join(event.needs_restart)
    more = f" (needs a restart: {later})" if later else ""
    return f"Reloaded {changes or 'nothing has changed'}{more}", filled(
        {
            "Changes": list(event.changes) or "",
            "NeedsRestart": list(event.needs_restart) or "",
        }
    )


def _reload_refused(event: t.ReloadRefused) -> Told:
    problems = "; ".join(event.problems)
    return f"ReloadRefused {problems}", {"Problems": list(event.problems)}


def _log_level_changed(event: t.LogLevelChanged) -> Told:
    to = event.to or "as configured"
    return f"LogLevelChanged {event.name}: {to}", {"Name": event.name, "Level": to}


def _lines_dropped(event: t.LinesDropped) -> Told:
    return f"LinesDropped: {event.count} lines of this log were lost", {"Count": event.count}


def _request_served(event: t.RequestServed) -> Told:
    milliseconds = ms(event.seconds)
    what = f"{event.method} {event.route} {event.status}"
    return f"RequestServed {what} {milliseconds:.1f} ms", filled(
        {
            "Method": event.method,
            "Route": event.route,
            "Status": event.status,
            "DurationMs": milliseconds,
            "RequestId": event.request_id,
            "TraceId": event.trace_id,
            **_access(event),
        }
    )


def _access(event: t.RequestServed) -> dict[str, object]:
    if not event.is_access:
        return {}
    return {"Bytes": event.size, "Address": event.address, "Subject": event.subject}


def _served_level(event: t.RequestServed) -> Level:
    return Level.INFO if event.is_access else Level.DEBUG


def _rate_limited(event: t.RateLimited) -> Told:
    return f"RateLimited {event.limit} {event.who}", {
        "Limit": event.limit,
        "Who": event.who,
        "RequestId": event.request_id,
    }


def _request_crashed(event: t.RequestCrashed) -> Told:
    return f"RequestCrashed {event.method} {event.route}", filled(
        {
            "Method": event.method,
            "Route": event.route,
            "RequestId": event.request_id,
            "TraceId": event.trace_id,
            "@x": event.trace,
        }
    )


def _act_audited(event: t.ActAudited) -> Told:
    return f"ActAudited {event.subject} {event.act} {event.task_id}".rstrip(), filled(
        {
            "Subject": event.subject,
            "Act": event.act,
            "TaskId": event.task_id,
            "Address": event.address,
            "RequestId": event.request_id,
        }
    )


def _certificate_loaded(event: t.CertificateLoaded) -> Told:
    until = datetime.fromtimestamp(event.until, UTC).isoformat()
    days = int(event.left // DAY)
    return f"CertificateLoaded, good until {until}", {"Until": until, "DaysLeft": days}


def _certificate_level(event: t.CertificateLoaded) -> Level:
    if event.left <= 0:
        return Level.ERROR
    return Level.WARNING if event.left < SOON_DAYS * DAY else Level.INFO


def _keys_changed(event: t.KeysChanged) -> Told:
    kids = ", ".join(event.kids)
    return f"KeysChanged {event.part} of {event.issuer}: {kids}", {
        "Part": event.part,
        "Issuer": event.issuer,
        "Kids": kids,
    }


LINES: dict[type[Telemetry], Line] = {
    t.ServerSaid: Line(plain, "events-server"),
    t.StateChanged: Line(_state_changed, level=_state_level),
    t.Reloaded: Line(_reloaded),
    t.ReloadRefused: Line(_reload_refused),
    t.LogLevelChanged: Line(_log_level_changed),
    t.LinesDropped: Line(_lines_dropped),
    t.CertificateLoaded: Line(_certificate_loaded, "api", level=_certificate_level),
    t.RequestServed: Line(_request_served, "api", level=_served_level),
    t.RateLimited: Line(_rate_limited, "api"),
    t.RequestCrashed: Line(_request_crashed, "api"),
    t.ActAudited: Line(_act_audited, "api"),
    t.KeysChanged: Line(_keys_changed, "api"),
}
