"""Endpoints below `/auth`: logging in and out, tokens, and one's sessions."""
