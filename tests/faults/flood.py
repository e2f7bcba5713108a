"""A program that floods a server with requests: `python flood.py URL TOKEN REQUESTS CONNECTIONS`.

Each connection sends its next request when it has the answer to the one before. Prints how many answers had which status.
"""

import asyncio
import json
import sys
from collections import Counter
from urllib.parse import urlsplit

BODY = b'{"type":"threads.list","params":{}}'


def request(token: str) -> bytes:
    """A request of whoever the token belongs to."""
    head = (
        "POST /api/chatkit HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


async def flood(url: str, token: str, requests: int, connections: int) -> Counter[int]:
    """Send the requests; how many answers had which status."""
    port, data, left = urlsplit(url).port, request(token), iter(range(requests))
    found = Counter[int]()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            found[int(head[9:12])] += 1
            assert not head.startswith(b"HTTP/1.1 429") or b'"rate_limited"' in body
        writer.close()

    print("flooding", flush=True)
    await asyncio.gather(*(client() for _ in range(connections)))
    return found


if __name__ == "__main__":
    url, token, requests, connections = sys.argv[1:]
    print(json.dumps(asyncio.run(flood(url, token, int(requests), int(connections)))), flush=True)
