"""Hooks that log the lifecycle of runs. Every server has them."""

from typing import override

import structlog

from backchannel.hooks import Hooks, RunEnded, RunQueued, RunStarted, RunTakenOver

log = structlog.get_logger(__name__)


class RunLogging(Hooks):
    """Logs when a run is queued, started, taken over and ended. The run's context variables add the ids."""

    @override
    def run_queued(self, event: RunQueued) -> None:
        log.info("run_queued", operation=event.operation)

    @override
    def run_started(self, event: RunStarted) -> None:
        log.info("run_started", operation=event.operation)

    @override
    def run_taken_over(self, event: RunTakenOver) -> None:
        log.info("run_taken_over", attempt=event.attempt, fence=event.fence)

    @override
    def run_ended(self, event: RunEnded) -> None:
        log.info(
            "run_ended",
            status=event.status,
            error_code=event.error_code,
            seconds=round(event.seconds, 3),
        )
