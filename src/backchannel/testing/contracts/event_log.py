"""What every event log must do, as tests.

Subclass `EventLogContract`, provide the fixtures, and run pytest:

    class TestMyLog(EventLogContract):
        @pytest.fixture
        async def event_log(self):
            log = MyLog(...)
            yield log
            await log.aclose()

A log that processes share gives two objects on the same server as `event_log` and `another_log`, and is asked for more
than one in a single process's memory.
"""

from backchannel.testing.contracts.event_log_base import EventLogSuite, Window
from backchannel.testing.contracts.event_log_ends import EndsSuite
from backchannel.testing.contracts.event_log_events import EventsSuite
from backchannel.testing.contracts.event_log_meeting import MeetingSuite
from backchannel.testing.contracts.event_log_readers import ReadersSuite
from backchannel.testing.contracts.event_log_sharing import SharingSuite
from backchannel.testing.contracts.event_log_writers import WritersSuite

__all__ = ["EventLogContract", "EventLogSuite", "Window"]


class EventLogContract(EventsSuite, ReadersSuite, EndsSuite, WritersSuite, SharingSuite, MeetingSuite):
    """Inherit as `class TestMine(EventLogContract)` and override the fixtures `event_log`, `another_log` and
    `forgetful_log`; and `window`, if the log has a moment between replay and live that a test can be made to hit.

    Attributes:
        shared: Whether processes share the log. If not, `another_log` is the same object as `event_log`.
        rounds: How many runs are appended to and read at the same time, each interleaved differently.
        windows: How many events are published between replay and live.
    """
