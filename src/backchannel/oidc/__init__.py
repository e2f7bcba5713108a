"""Logins with an identity provider (OpenID Connect Core 1.0): authorization code with PKCE, state and nonce.

Authlib's pure parts are used: URLs of requests, code challenges, claims of ID tokens. Requests are made here, with
limits of time and size, and signatures are verified as those of other tokens are (`key_sets`).
"""
