"""The contract tests of event logs.

Subclass `EventLogContract`, provide the fixtures, and run pytest:

    class TestMyLog(EventLogContract):
        @pytest.fixture
        async def event_log(self):
            log = MyLog(...)
            yield log
            await log.aclose()

For a log that is shared between processes, `event_log` and `another_log` are two objects for the same server. The tests
of sharing are skipped for an in-memory log.
"""

from backchannel.testing.contracts.event_log_base import EventLogSuite, Window
from backchannel.testing.contracts.event_log_catch_up import CatchUpSuite
from backchannel.testing.contracts.event_log_ends import EndsSuite
from backchannel.testing.contracts.event_log_events import EventsSuite
from backchannel.testing.contracts.event_log_readers import ReadersSuite
from backchannel.testing.contracts.event_log_sharing import SharingSuite
from backchannel.testing.contracts.event_log_writers import WritersSuite

__all__ = ["EventLogContract", "EventLogSuite", "Window"]


class EventLogContract(EventsSuite, ReadersSuite, EndsSuite, WritersSuite, SharingSuite, CatchUpSuite):
    """Inherit as `class TestMine(EventLogContract)` and override the fixtures `event_log`, `another_log` and
    `expiring_log`; and `window`, if a test can publish exactly between replay and live.

    Attributes:
        shared: Whether the log is shared between processes. If not, `another_log` is the same object as `event_log`.
        rounds: The number of runs that are appended to and read concurrently, each interleaved differently.
        windows: The number of events that are published between replay and live.
    """
