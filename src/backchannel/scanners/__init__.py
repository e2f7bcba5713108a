"""Virus scanners, which see every file before it is stored."""
