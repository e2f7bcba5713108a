"""One call of a model: its input, its time limits, its events and its errors, in the same form for every provider."""
