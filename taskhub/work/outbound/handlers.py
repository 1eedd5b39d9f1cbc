"""The types of tasks that call other hosts, for every process that runs or describes them."""

from __future__ import annotations

from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.http_task import http_handler
from taskhub.work.outbound.webhook_task import webhook_handler
from taskhub.work.signature import Function


def outbound_handlers(calls: Calls | None = None) -> list[Function]:
    """Their handlers; without `calls` they can only be described."""
    return [http_handler(calls), webhook_handler(calls)]
