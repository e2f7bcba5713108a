"""The scope of todos."""

TODOS = "todos"
"""Needed for `/api/todos` and for the assistant's tools."""
