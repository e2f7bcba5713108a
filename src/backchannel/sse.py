"""Server-sent events: frames in, bytes out. Pure; knows nothing of HTTP.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. A frame is one `data:` line, which JSON never
breaks, and then `id: <run>:<seq>`. The id comes last because some clients use it from its line on and not from the end
of the event: of an event that was cut before its id, they request the repetition. A comment ends with a single newline:
with two, clients that dispatch on blank lines see an empty event.

A stream of a run that has ended closes with the comment `: end`. One that closes without it was cut, also if the
connection was closed in good order: the client connects again.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from urllib.parse import unquote

from backchannel.event_logs.base import Batch, EventLog, Frame

HEARTBEAT = b": ping\n"

END = b": end\n"
"""The last line of a stream whose run has ended."""

RECONNECT = b"retry: 250\n: reconnect\n"
"""The last lines of a stream whose run goes on elsewhere. `retry` is the wait before connecting again, in
milliseconds; clients obey it from its line on, so no blank line follows that some would take for an event."""

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx buffers whole responses unless told not to, per response.
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}

HEARTBEAT_HEADER = "X-Heartbeat-Seconds"
"""The response header in which every stream of a run gives its heartbeat interval, such as `15` or `0.5`."""

DEFAULT_HEARTBEAT_SECONDS = 15.0
"""What clients assume of a server that does not send that header."""

MAX_HEARTBEAT_SECONDS = 3600.0

MAX_SEQ = 10**15 - 1
"""The largest number of an event that clients can ask for. All clients can represent it exactly."""

type Encode = Callable[[str, Iterable[Frame]], bytes]
"""Writes frames of the run with that id as one piece of an event stream. Frames that are not for its readers are
left out."""

type Trailer = Callable[[int], Awaitable[bytes]]
"""Makes the last event of a stream whose run has ended; gets the number of the event before it."""


def encode(run_id: str, frames: Iterable[Frame]) -> bytes:
    """The frames as ChatKit clients get them."""
    prefix = b"\nid: " + run_id.encode() + b":"
    return escape_line_ends(
        b"".join(
            b"data: " + frame.event.body() + prefix + str(frame.seq).encode() + b"\n\n"
            for frame in frames
            if not frame.event.plain
        )
    )


def escape_line_ends(piece: bytes) -> bytes:
    """A piece of an event stream whose JSON has U+0085, U+2028 and U+2029 as escape sequences.

    JSON allows them as they are, and in an event stream they end no line. But `str.splitlines` splits there, and with
    it `iter_lines` of HTTP clients. The other characters at which it splits are control characters, which JSON always
    escapes.
    """
    if not piece.isascii():
        for raw, last, escaped in _LINE_ENDS:
            # A single byte is found much faster than two or three.
            if last in piece and raw in piece:
                piece = piece.replace(raw, escaped)
    return piece


_LINE_ENDS = tuple(
    (raw, raw[-1:], b"\\u%04x" % ord(raw.decode())) for raw in (b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
)


async def stream(
    log: EventLog,
    run_id: str,
    after: int,
    *,
    heartbeat: float,
    first: Batch | None = None,
    encode: Encode = encode,
    trailer: Trailer | None = None,
) -> AsyncGenerator[bytes]:
    """Follow a run from the event after `after` until it ends, or until this process shuts down.

    All frames that are ready go out in one piece; a reader that was slow gets text deltas joined by the log, so it
    catches up with less instead of more. A comment is sent after every `heartbeat` seconds without an event.

    Args:
        first: What the log has after `after`, if it was read already. If that is nothing, a comment is sent at once, so
            that the client gets the headers while the model thinks.
        trailer: Called once, when the run has ended.

    Raises:
        LookupError: The run is unknown or its events have expired.
        UnavailableError: The log cannot be reached.
        Exception: Whatever `trailer` raises.
    """
    batch = first
    while True:
        if batch is None:
            batch = await log.read(run_id, after, wait=heartbeat)
        piece = b""
        if batch.frames:
            after = batch.frames[-1].seq
            piece = encode(run_id, batch.frames)
        if batch.ended and trailer is not None:
            if piece:
                yield piece
            piece = await trailer(after)
        last = END if batch.ended else RECONNECT if batch.released else b""
        yield piece + last or HEARTBEAT
        if last:
            return
        batch = None


def parse_heartbeat(value: str | None) -> float:
    """The seconds in a `HEARTBEAT_HEADER`; `DEFAULT_HEARTBEAT_SECONDS` if it is missing, or not a number from above 0
    to `MAX_HEARTBEAT_SECONDS`."""
    try:
        seconds = float(value or "")
    except ValueError:
        return DEFAULT_HEARTBEAT_SECONDS
    return seconds if 0 < seconds <= MAX_HEARTBEAT_SECONDS else DEFAULT_HEARTBEAT_SECONDS


def silence_limit(heartbeat_seconds: float) -> float:
    """How many seconds a stream may be silent before its client treats the connection as lost: three heartbeats, and
    five seconds for slow networks. The page's `run-follower.js` has the same rule."""
    return 3 * heartbeat_seconds + 5


def parse_last_event_id(value: str) -> tuple[str, int] | None:
    """`<run>:<seq>` as the run's id and the sequence number, or `None` if it is not one of ours. Spaces around it and
    percent-encoding, which some clients add, are removed."""
    run_id, separator, seq = unquote(value).strip().rpartition(":")
    if (
        not separator
        or not run_id.startswith("run_")
        or not (seq.isascii() and seq.isdigit() and len(seq) < 16)
    ):
        return None
    return run_id, int(seq)
