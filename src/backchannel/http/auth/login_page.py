"""The page at `/auth/login`: a form for those who have not logged in, and the list of their logins for those who have.

It is made here and works without JavaScript. Its links are relative, so that it works under any prefix.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from starlette.responses import HTMLResponse

from backchannel.context import Identity
from backchannel.errors import BackchannelError
from backchannel.http.security_headers import page_policy
from backchannel.sessions.base import Session
from backchannel.settings import Settings
from backchannel.stores.times import utc_text
from backchannel.web.user_agents import program_name

MAX_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class LoginMethods:
    """How people log in here.

    Attributes:
        provider: The name of the identity provider; `None` without one.
    """

    password: bool
    provider: str | None


def login_form(
    settings: Settings,
    methods: LoginMethods,
    *,
    name: str = "",
    return_to: str = "",
    error: BackchannelError | None = None,
    up: str = "",
) -> HTMLResponse:
    """The form.

    Args:
        name: What was typed before.
        return_to: Where the browser goes after the login; checked when it does.
        error: Why the last try failed. Its status is that of the response.
        up: The way from the address of the response to `/auth/`.
    """
    problem = f'<p class="login-problem" role="alert">{_escaped(error.message)}</p>' if error else ""
    parts = [
        _password_form(name, return_to, up) if methods.password else "",
        '<p class="login-or"><span>or</span></p>' if methods.password and methods.provider else "",
        _provider_form(methods.provider, return_to, up, primary=not methods.password)
        if methods.provider
        else "",
    ]
    response = _page(settings, "Log in", f"<h1>Log in</h1>{problem}{''.join(parts)}", up=up)
    if error is not None:
        response.status_code = error.status
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
    return response


def _password_form(name: str, return_to: str, up: str) -> str:
    focus_name, focus_password = ("", " autofocus") if name else (" autofocus", "")
    return f"""
      <form class="login-form" method="post" action="{up}login">
        <input type="hidden" name="return_to" value="{_escaped(return_to)}">
        <label for="name">Name</label>
        <input id="name" name="name" type="text" value="{_escaped(name[:MAX_SHOWN_CHARS])}" autocomplete="username"
          autocapitalize="none" spellcheck="false" required{focus_name}>
        <label for="password">Password</label>
        <input id="password" name="password" type="password" autocomplete="current-password" required{focus_password}>
        <button class="button primary" type="submit">Log in</button>
      </form>"""


def _provider_form(provider: str, return_to: str, up: str, *, primary: bool) -> str:
    looks = "button primary" if primary else "button"
    return f"""
      <form class="login-form" method="post" action="{up}login/oidc">
        <input type="hidden" name="return_to" value="{_escaped(return_to)}">
        <button class="{looks}" type="submit">Continue with {_escaped(provider)}</button>
      </form>"""


def leaving(settings: Settings, provider: str, url: str, *, up: str = "") -> HTMLResponse:
    """Sends the browser on to the provider.

    Not by a redirect: browsers apply `form-action` of the policy of the page with the form to it, and to each further
    one of the provider. A refresh after no time replaces this page in the history.
    """
    content = f"""
      <h1>One moment</h1>
      <p>If nothing happens, <a href="{_escaped(url)}">continue to {_escaped(provider)}</a>.</p>"""
    refresh = f'<meta http-equiv="refresh" content="0; url={_escaped(url)}">'
    return _page(settings, f"To {provider}", content, head=refresh, up=up)


def already_logged_in(settings: Settings, identity: Identity, error: BackchannelError) -> HTMLResponse:
    """A login that cannot be finished, in a browser that has logged in: most often the back button."""
    content = f"""
      <h1>Logged in as {_escaped(identity.name or identity.user)}</h1>
      <p>{_escaped(error.message)}</p>
      <div class="login-actions">
        <a class="button primary" href="../">Go to the chat</a>
        <a class="button" href="login">Your logins</a>
      </div>"""
    response = _page(settings, "Logged in", content)
    response.status_code = error.status
    return response


def own_logins(
    settings: Settings, identity: Identity, current: Session, sessions: Sequence[Session]
) -> HTMLResponse:
    """Who has logged in, and from where; each login can be ended."""
    rows = "".join(_row(each, current) for each in sessions)
    content = f"""
      <h1>Logged in as {_escaped(identity.name or identity.user)}</h1>
      <div class="login-actions">
        <a class="button" href="../">Go to the chat</a>
        <form method="post" action="logout"><button class="button" type="submit">Log out</button></form>
        <form method="post" action="logout?everywhere=true">
          <button class="button danger" type="submit">Log out everywhere</button>
        </form>
      </div>
      <h2>Your logins and tokens</h2>
      <ul class="login-list">{rows}</ul>"""
    return _page(settings, "Your logins", content)


def _row(session: Session, current: Session) -> str:
    what = session.name or program_name(session.user_agent or "") or "Unknown program"
    kind = {"cookie": "Browser", "personal": "Personal token"}.get(session.kind, "Program")
    last_seen = utc_text(session.last_seen_at)[:16].replace("T", " ")
    when = f"since {utc_text(session.created_at)[:10]}, last used {last_seen} UTC"
    place = f", from {session.address}" if session.address else ""
    if session.id == current.id:
        action = '<span class="muted">This browser</span>'
    else:
        action = (
            f'<form method="post" action="sessions/{_escaped(session.id)}/end">'
            f'<button class="button" type="submit" aria-label="End: {_escaped(what)}">End</button></form>'
        )
    return f'<li><div><p>{_escaped(what)}</p><p class="muted">{kind}, {_escaped(when + place)}</p></div>{action}</li>'


def _page(settings: Settings, title: str, content: str, *, head: str = "", up: str = "") -> HTMLResponse:
    headers = {"Content-Security-Policy": page_policy(settings), "Cache-Control": "no-store"}
    return HTMLResponse(
        _template().substitute(title=_escaped(title), content=content, head=head, up=up), headers=headers
    )


@cache
def _template() -> Template:
    return Template((files("backchannel") / "page" / "login.html").read_text(encoding="utf-8"))


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)
