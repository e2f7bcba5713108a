"""How callers authenticate, for the OpenAPI document: with it, "Authorize" in `/docs` works."""

from typing import Any

from fastapi import FastAPI

from backchannel.context import CHAT
from backchannel.oidc.metadata import discovery_url
from backchannel.settings import Settings

_SCOPES = {CHAT: "Conversations and their answers."}

_PUBLIC = ("/auth/token", "/auth/login", "/auth/logout", "/auth/callback", "/health")


def describe_security(app: FastAPI, settings: Settings, cookie: str) -> None:
    """Add the security schemes, and what each operation needs, to the document of an application.

    Args:
        cookie: The name of the session cookie.
    """
    schemes = _schemes(settings, cookie)
    # The issuer's tokens are no credentials here: its scheme is shown, and no operation takes it.
    needed: list[dict[str, list[str]]] = [{name: []} for name in schemes if name != "oidc"]
    # Only of OAuth 2 schemes can an operation name the scopes.
    chat = [
        {name: [CHAT] if each["type"] == "oauth2" else []} for name, each in schemes.items() if name != "oidc"
    ]
    if "anonymous" in settings.auth:
        needed.append({})
        chat.append({})
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = original()
        if schemes:
            document.setdefault("components", {})["securitySchemes"] = schemes
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    operation["security"] = [] if path.startswith(_PUBLIC) else needed
                    if path.startswith("/api/chatkit"):
                        operation["security"] = chat
        return document

    app.openapi = openapi


def _schemes(settings: Settings, cookie: str) -> dict[str, Any]:
    schemes: dict[str, Any] = {}
    if "password" in settings.auth:
        # Relative to the document, so that it is right behind any proxy.
        flow: dict[str, Any] = {"tokenUrl": "auth/token", "refreshUrl": "auth/token", "scopes": _SCOPES}
        schemes["password"] = {"type": "oauth2", "flows": {"password": flow}}
    if settings.logins or "jwt" in settings.auth:
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
    if settings.logins:
        schemes["session"] = {"type": "apiKey", "in": "cookie", "name": cookie}
    if "oidc" in settings.auth and settings.oidc_issuer is not None:
        schemes["oidc"] = {
            "type": "openIdConnect",
            "openIdConnectUrl": discovery_url(settings.oidc_issuer),
            "description": "Log in at /auth/login, which begins a session.",
        }
    return schemes
