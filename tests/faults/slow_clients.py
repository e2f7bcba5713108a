"""Clients that open connections and send nothing, or a byte now and then: `python slow_clients.py URL NUMBER ADDRESSES`.

A process of its own, so that what it does costs the clients that are measured nothing.
"""

import asyncio
import sys

from raw_http import Connection

BEGUN = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
PAUSE_SECONDS = 0.5


async def keep_open(url: str, source: str, *, trickles: bool) -> None:
    """One connection, opened again when it was closed."""
    while True:
        try:
            async with Connection(url, source=source) as connection:
                await connection.send(BEGUN if trickles else b"")
                while not await connection.ended(PAUSE_SECONDS):
                    if trickles:
                        await connection.send(b"y")
        except OSError:
            pass
        await asyncio.sleep(PAUSE_SECONDS)


async def main(url: str, number: int, addresses: int) -> None:
    clients = [
        keep_open(url, f"127.0.1.{1 + index % addresses}", trickles=index // addresses % 2 == 1)
        for index in range(number)
    ]
    await asyncio.gather(*clients)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
