"""A chain of authenticators: the first that knows the caller wins, and bad credentials end it."""

import pytest
from starlette.requests import HTTPConnection

from backchannel.authenticators.base import Authenticated, Authenticator, authenticate
from backchannel.context import Identity
from backchannel.errors import ForbiddenError, UnauthenticatedError

pytestmark = pytest.mark.row("F1", "F3", "F7")

REQUEST = HTTPConnection({"type": "http", "headers": []})


class Link(Authenticator):
    """Says what it is told to say, and remembers whether it was asked."""

    def __init__(self, answer: Identity | Exception | None) -> None:
        self.answer = answer
        self.asked = 0

    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer is None else Authenticated(self.answer)


async def test_the_first_that_knows_the_caller_wins():
    chain = [Link(None), Link(Identity("ann")), Link(Identity("eve"))]
    assert (await authenticate(chain, REQUEST)).identity.user == "ann"
    assert [link.asked for link in chain] == [1, 1, 0]


@pytest.mark.parametrize("error", [UnauthenticatedError("bad"), ForbiddenError("no")])
async def test_bad_credentials_never_fall_back_to_the_next(error: Exception):
    chain = [Link(error), Link(Identity("visitor", anonymous=True))]
    with pytest.raises(type(error)):
        await authenticate(chain, REQUEST)
    assert chain[1].asked == 0


@pytest.mark.parametrize("links", [0, 1, 3])
async def test_nobody_knows_the_caller(links: int):
    with pytest.raises(UnauthenticatedError, match="Log in, or send a valid bearer token"):
        await authenticate([Link(None) for _ in range(links)], REQUEST)
