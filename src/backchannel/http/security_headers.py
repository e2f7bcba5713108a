"""Headers that tell browsers, and caches on the way, what a response must not be used for."""

from collections.abc import Mapping, Sequence

from backchannel.settings import Settings

HSTS_SECONDS = 365 * 24 * 3600


def security_headers(settings: Settings) -> Mapping[str, str]:
    """The headers of every response that does not set them itself.

    `Strict-Transport-Security` (RFC 6797) only in production and by https, and only for the host itself: others below
    its domain may not have https.
    """
    headers = {
        # Also for caches that would keep what says nothing (RFC 9111, section 4.2.2), or that know no cookies.
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
    if settings.production and settings.served_by_https:
        headers["Strict-Transport-Security"] = f"max-age={HSTS_SECONDS}"
    return headers


def page_policy(settings: Settings, file_origins: Sequence[str] = ()) -> str:
    """The Content-Security-Policy of the chat page. Nothing in it is inline, so it needs no nonces.

    Args:
        settings: Who may show the page in a frame.
        file_origins: Where browsers read and write files besides this server: pictures come from there.
    """
    ancestors = " ".join(settings.frame_ancestors) or "'none'"
    files = "".join(f" {origin}" for origin in file_origins)
    return (
        # `blob:` is for pictures of the reader's own computer before they are uploaded.
        f"default-src 'self'; img-src 'self' data: blob:{files}; style-src 'self'; script-src 'self'; "
        f"connect-src 'self'{files}; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
    )
