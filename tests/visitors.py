"""The cookie by which a server knows a visitor."""

from typing import Any

NAME = "backchannel_visitor_"


def visitor_cookie(http: Any) -> tuple[str, str]:
    """The name and the value of the visitor's cookie that a client of HTTP has."""
    [(name, value)] = [(name, value) for name, value in http.cookies.items() if NAME in name]
    return name, value


def visitor_id(http: Any) -> str:
    """The user id of the visitor that a client of HTTP is."""
    return visitor_cookie(http)[1].partition(".")[0]
