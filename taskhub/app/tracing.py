"""Gives tracing to the parts of a process that make spans, where `[tracing]` asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskhub.config.sections import NO_TRACING

if TYPE_CHECKING:
    from taskhub.app.process import Process
    from taskhub.attempts import Ended, Runner, StopReason
    from taskhub.obs.tracing import Tracing


def tracing_of(process: Process) -> Tracing | None:
    """The one tracing of this process, open until its end; None where it is off."""
    section = process.live.config.tracing
    if section.exporter == NO_TRACING:
        return None
    if process.tracing is None:
        from taskhub.obs.tracing import open_tracing  # 10 MB, for those who want it

        process.tracing = open_tracing(section, process.name)
        process.stack.callback(process.tracing.close)
    return process.tracing


def traced(process: Process, runner: Runner[Any]) -> Runner[Any]:
    """The runner itself, or one that makes a span of each attempt."""
    tracing = tracing_of(process)
    return runner if tracing is None else _Traced(runner, tracing)


class _Traced:
    """Runs attempts as another runner does, each within its span."""

    def __init__(self, runner: Runner[Any], tracing: Tracing) -> None:
        self._runner, self._tracing = runner, tracing

    async def run(self, attempt: Any) -> Ended:
        """Run the handler to its end, or until it is stopped."""
        with self._tracing.attempt(attempt.lease) as span:
            ended = await self._runner.run(attempt)
            span.ended(ended)
            return ended

    def stop(self, attempt: Any, reason: StopReason) -> None:
        """Tell the handler to stop."""
        self._runner.stop(attempt, reason)
