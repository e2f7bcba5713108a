"""Sessions on the server: cookies of browsers, and opaque tokens of programs."""
