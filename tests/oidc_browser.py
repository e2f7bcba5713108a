"""What a browser does when a person logs in with an identity provider, with a cookie jar that the test decides on."""

import html
import re
from typing import Any
from urllib.parse import urlsplit

import httpx2

from oidc_double import Double

SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
CROSS_SITE = {"sec-fetch-site": "cross-site"}


class OidcBrowser:
    """A browser.

    Attributes:
        cookies: By name.
    """

    def __init__(self, served: Any) -> None:
        self._http = served.person.http
        self.cookies: dict[str, str] = {}

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """A request with the cookies; those of the response are stored."""
        headers = {**SAME_ORIGIN, **options.pop("headers", {})}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._http.cookies.clear()
        response = await self._http.request(method, path, headers=headers, **options)
        for header in response.headers.get_list("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if "Max-Age=0" not in header:
                self.cookies[name] = value
        return response

    async def begin(self, return_to: str = "", **options: Any) -> str:
        """Press the button of the login page; the address at the provider."""
        response = await self.send("POST", "/auth/login/oidc", data={"return_to": return_to}, **options)
        assert response.status_code == 200, response.text
        return leads_to(response)

    async def come_back(self, query: str, **options: Any) -> httpx2.Response:
        """Follow the provider's redirect to the callback."""
        return await self.send("GET", f"/auth/callback?{query}", headers=CROSS_SITE, **options)

    async def log_in(self, provider: Double, return_to: str = "", **answer: str | None) -> httpx2.Response:
        """All of it; the response of the callback."""
        return await self.come_back(provider.authorize(await self.begin(return_to), **answer))

    async def me(self) -> httpx2.Response:
        """Who is logged in."""
        return await self.send("GET", "/auth/me")


def leads_to(response: httpx2.Response) -> str:
    """The address to which a page sends the browser on."""
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', response.text)
    assert found, response.text
    url = html.unescape(found[1])
    assert urlsplit(url).scheme in {"http", "https"}
    return url


def problem(response: httpx2.Response) -> str:
    """What the login page says is wrong."""
    found = re.search(r'<p class="login-problem" role="alert">([^<]*)</p>', response.text)
    assert found, response.text
    return html.unescape(found[1])
