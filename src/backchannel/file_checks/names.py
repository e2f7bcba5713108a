"""stub"""

from urllib.parse import quote


def display_name(name: str) -> str:
    return name[:60] or "file"


def content_disposition(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name)}"
