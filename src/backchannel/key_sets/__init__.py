"""Keys with which the signatures of tokens are verified."""
