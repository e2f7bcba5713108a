"""Whether a file's content is what its name and declared type say. Pure."""

from dataclasses import dataclass

from backchannel.errors import UnsupportedTypeError
from backchannel.file_checks.known_types import BY_TYPE, KINDS, PLAIN_TEXT, UNDECLARED
from backchannel.file_checks.signatures import DESCRIPTIONS
from backchannel.file_checks.types import canonical_type, declared_type, kind_of

_IMAGES = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
_MARKUPS = {"html": "text/html", "svg": "image/svg+xml", "xml": "text/xml"}


@dataclass(frozen=True, slots=True)
class Content:
    """What the bytes of a file show.

    Attributes:
        format: `text`, or what `format_of` and `archive_format` find; empty if nothing is known.
        markup: Of a text: `html`, `svg`, `xml` or empty.
        binary: Of a text: the format of which its first bytes are as well, such as `rtf` or `pdf`; else empty.
    """

    format: str
    markup: str = ""
    binary: str = ""


def agreed_type(declared: str, content: Content, name: str) -> str:
    """The type of a file, in which its content, its name and its declared type agree.

    Of images the content says which of the four it is. For the rest, the content must be what is declared. A file of
    which nothing is declared is what its content is.

    Args:
        declared: See `declared_type`.
        content: What its bytes show.
        name: Its name, for a text of which nothing is declared.

    Returns:
        A canonical type.

    Raises:
        UnsupportedTypeError: They do not agree.
    """
    if declared == UNDECLARED:
        return _type_of(content, name)
    kind = kind_of(declared)
    if kind.name == "image":
        agreed = _IMAGES.get(content.format)
    elif kind.name == "pdf":
        agreed = declared if "pdf" in {content.format, content.binary} else None
    elif kind.name == "text":
        agreed = declared if _is_such_text(declared, content) else None
    elif kind.container:
        agreed = declared if _is_in(kind.container, content) else None
    else:
        # Of an unknown type, which the operator has allowed, only the opposite can be seen.
        agreed = (
            declared if content.format not in {*_IMAGES, "pdf", "exe", "elf"} and not content.markup else None
        )
    if agreed is None:
        described = DESCRIPTIONS.get(content.markup or content.format)
        raise UnsupportedTypeError(
            f"The file's type is given as {declared}, but its content is {described or 'something else'}.",
            details={"type": declared, "found": _type_of(content, name)},
        )
    return agreed


def _is_such_text(declared: str, content: Content) -> bool:
    if content.format != "text":
        return False
    # Nearly everything can be the content of a text, HTML included: it is served as the text that it is declared as.
    return content.markup == "svg" if declared == "image/svg+xml" else True


def _is_in(container: str, content: Content) -> bool:
    if container == "zip":
        return content.format in {"zip", "docx", "xlsx", "pptx", "odf", "epub"}
    if container == content.format or container == content.binary:
        return True
    # What only puremagic knows has a type as its name.
    found = BY_TYPE.get(canonical_type(content.format)) if "/" in content.format else None
    return found is not None and found.container == container


def _type_of(content: Content, name: str) -> str:
    if content.markup:
        return _MARKUPS[content.markup]
    if content.format == "text":
        named = declared_type("", name)
        return named if kind_of(named).name == "text" and named != UNDECLARED else PLAIN_TEXT
    if content.format in _IMAGES:
        return _IMAGES[content.format]
    if content.format == "pdf":
        return "application/pdf"
    if "/" in content.format:
        return canonical_type(content.format)
    return next((each.mime_type for each in KINDS if each.container == content.format != ""), UNDECLARED)
