"""The URLs to which browsers are sent. Pure, no I/O."""

from collections.abc import Mapping
from typing import Any, cast

from authlib.common import urls
from authlib.oauth2.rfc6749 import parameters as oauth2_parameters
from authlib.oauth2.rfc7636 import challenge

from backchannel.oidc.attempts import Attempt

# Authlib has no types.
_urls, _parameters, _challenge = (cast("Any", each) for each in (urls, oauth2_parameters, challenge))


def authorization_url(endpoint: str, client_id: str, scopes: str, attempt: Attempt) -> str:
    """The authorization request of an attempt (OpenID Connect Core 1.0, section 3.1.2.1), with PKCE by S256."""
    url = _parameters.prepare_grant_uri(
        endpoint,
        client_id,
        "code",
        attempt.redirect_uri,
        scopes,
        attempt.state,
        nonce=attempt.nonce,
        code_challenge=_challenge.create_s256_code_challenge(attempt.verifier),
        code_challenge_method="S256",
    )
    return cast("str", url)


def with_parameters(endpoint: str, parameters: Mapping[str, str]) -> str:
    """An endpoint with more parameters in its query."""
    return cast("str", _urls.add_params_to_uri(endpoint, list(parameters.items())))
