"""Server-sent events: frames in, bytes out. Pure; knows nothing of HTTP.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. A frame is `id: <run>:<seq>` and one
`data:` line, which JSON never breaks. A heartbeat is a comment with a single newline: with two, clients that
dispatch on blank lines see an empty event.
"""

from collections.abc import AsyncGenerator, Iterable

from backchannel.event_logs.base import Event, EventLog, Frame

HEARTBEAT = b": ping\n"

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx buffers whole responses unless told not to, per response.
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def coalesce(frames: Iterable[Frame]) -> Iterable[Frame]:
    """Join runs of text deltas of the same message part, keeping the last one's sequence number."""
    head, texts, seq = b"", list[str](), 0
    for frame in frames:
        event = frame.event
        if texts and (event.text is None or event.head != head):
            yield Frame(seq, Event(head, "".join(texts)))
            texts = []
        if event.text is None:
            yield frame
        else:
            head, seq = event.head, frame.seq
            texts.append(event.text)
    if texts:
        yield Frame(seq, Event(head, "".join(texts)))


def encode(run_id: str, frames: Iterable[Frame]) -> bytes:
    """The frames as one piece of an event stream."""
    prefix = b"id: " + run_id.encode() + b":"
    return b"".join(
        prefix + str(frame.seq).encode() + b"\ndata: " + frame.event.body() + b"\n\n" for frame in frames
    )


async def stream(log: EventLog, run_id: str, after: int, *, heartbeat: float) -> AsyncGenerator[bytes]:
    """Follow a run from the event after `after` until it ends.

    All that is ready goes out in one piece; a reader that was slow gets text deltas joined, so it catches up
    with less instead of more. A comment is sent after every `heartbeat` seconds of silence.

    Raises:
        LookupError: The run is unknown or its events have expired.
    """
    while True:
        batch = await log.read(run_id, after, wait=heartbeat)
        if batch.frames:
            after = batch.frames[-1].seq
            yield encode(run_id, coalesce(batch.frames))
        elif not batch.ended:
            yield HEARTBEAT
        if batch.ended:
            return


def parse_last_event_id(value: str) -> tuple[str, int] | None:
    """`<run>:<seq>` as the run's id and the sequence number, or `None` if it is not one of ours."""
    run_id, separator, seq = value.strip().rpartition(":")
    if (
        not separator
        or not run_id.startswith("run_")
        or not (seq.isascii() and seq.isdigit() and len(seq) < 16)
    ):
        return None
    return run_id, int(seq)
