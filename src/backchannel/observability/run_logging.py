"""Log lines of runs: the first listener of every server."""

from typing import override

import structlog

from backchannel.hooks import Hooks, RunEnded, RunQueued, RunStarted, RunTakenOver

log = structlog.get_logger(__name__)


class RunLogging(Hooks):
    """Logs when a run is queued, starts, is taken over, and ends. The ids come from the run's context variables."""

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
