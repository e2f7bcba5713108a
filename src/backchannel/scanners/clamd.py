"""stub"""

from pathlib import Path

from backchannel.scanners.base import Scanner


class Clamd(Scanner):
    def __init__(self, url: str, seconds: float) -> None: ...
    async def scan(self, path: Path) -> None: ...
