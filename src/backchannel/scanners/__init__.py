"""Scanners of uploaded files for malicious software."""
