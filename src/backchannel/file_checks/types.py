"""What type a file is taken for, by its name and by what the client says, and which types may be uploaded."""

import re
from typing import Self

from backchannel.errors import ConfigurationError, UnsupportedTypeError
from backchannel.file_checks.known_types import (
    AMBIGUOUS,
    BY_EXTENSION,
    BY_TYPE,
    KINDS,
    NAMES_WITHOUT_EXTENSION,
    PLAIN_TEXT,
    UNDECLARED,
    FileKind,
)
from backchannel.file_checks.names import display_name, extension

DEFAULT_TYPES = (
    "image/png, image/jpeg, image/gif, image/webp, application/pdf, text/plain, text/markdown, text/csv, "
    "text/tab-separated-values, application/json"
)
"""Images that models see, PDFs and texts; source code is `text/plain`."""

_ESSENCE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_NOTHING_SAID = frozenset(
    {UNDECLARED, "binary/octet-stream", "application/binary", "application/unknown", "application/x-unknown",
     "unknown/unknown", "application/download", "application/x-download", "application/force-download"}
)  # fmt: skip


def canonical_type(mime_type: str) -> str:
    """A type in lower case, without parameters, under the name that this server uses; `UNDECLARED` if it says nothing.

    A type that is not known stays as it is; of texts, those are plain text, and of XML they are `text/xml`.
    """
    essence = mime_type.partition(";")[0].strip().lower()
    if not _ESSENCE.fullmatch(essence) or essence in _NOTHING_SAID:
        return UNDECLARED
    if known := BY_TYPE.get(essence):
        return known.mime_type
    if essence.endswith("+xml"):
        return "text/xml"
    return PLAIN_TEXT if essence.startswith("text/") else essence


def kind_of(mime_type: str) -> FileKind:
    """What is known of a type; a file of any other is neither opened nor shown."""
    canonical = canonical_type(mime_type)
    return BY_TYPE.get(canonical) or FileKind(canonical, "binary", ())


def declared_type(mime_type: str, name: str) -> str:
    """The type that a file of a name and a declared type is taken for, before its content is looked at.

    An extension decides for a type that is empty, says nothing, or is not known; a known type for a name without a
    known extension. Texts may have any type of text: active content counts if either says so. Images may have any type
    of image, because their content says which. Any other two that differ contradict each other.

    Returns:
        A canonical type; `UNDECLARED` if neither says anything.

    Raises:
        UnsupportedTypeError: The declared type and the extension contradict each other.
    """
    declared = canonical_type(mime_type)
    ending = extension(name)
    named = BY_EXTENSION.get(ending)
    if named is None and display_name(name).lower() in NAMES_WITHOUT_EXTENSION:
        named = BY_TYPE[PLAIN_TEXT]
    if named is None:
        return declared
    kind = BY_TYPE.get(declared)
    if kind is None or kind is named or AMBIGUOUS.get(ending) == declared:
        return named.mime_type
    if named.name == kind.name == "text":
        return _one_of_texts(named, kind)
    if named.name == kind.name == "image":
        return declared
    if _is_container_of(kind, named):
        return named.mime_type
    raise UnsupportedTypeError(
        f'The file\'s name ends with ".{ending}", but its type is given as {declared}. Rename the file, or save it in '
        "the format that its name says.",
        details={"type": declared, "extension": ending},
    )


def _one_of_texts(named: FileKind, declared: FileKind) -> str:
    if named.is_active or declared.is_active:
        return (named if named.is_active else declared).mime_type
    return (declared if named.mime_type == PLAIN_TEXT else named).mime_type


def _is_container_of(outer: FileKind, inner: FileKind) -> bool:
    in_zip = inner.container in {"docx", "xlsx", "pptx", "odf", "epub", "zip"}
    same = bool(outer.container) and outer.container == inner.container
    return same or (outer.mime_type == "application/zip" and in_zip)


class AllowedTypes:
    """The types of files that may be uploaded.

    Args:
        types: Canonical types.
        families: First parts of types, such as `audio`, of which all are allowed that are not active.
        extensions: Further extensions, in lower case without the dot, for files of unknown types.
    """

    def __init__(
        self,
        types: frozenset[str],
        families: frozenset[str] = frozenset(),
        extensions: frozenset[str] = frozenset(),
    ) -> None:
        self._types = types
        self._families = families
        self._extensions = extensions

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a list such as `image/*, application/pdf, .docx`.

        `image/*` stands for the images that are opened and checked (PNG, JPEG, GIF, WebP), `text/*` for texts that are
        not active; `audio/*` and `video/*` for all. Active content (HTML, SVG, XML) is allowed only by its own name.

        Raises:
            ConfigurationError: The list is empty, or an entry is neither a type nor an extension.
        """
        types: set[str] = set()
        families: set[str] = set()
        extensions: set[str] = set()
        for entry in (each.strip().lower() for each in text.split(",")):
            family = entry.removesuffix("/*")
            if not entry:
                continue
            if re.fullmatch(r"\.[a-z0-9_+-]{1,16}", entry):
                kind = BY_EXTENSION.get(entry[1:])
                (types.add(kind.mime_type) if kind else extensions.add(entry[1:]))
            elif family != entry and family in {"image", "text"}:
                types |= {
                    each.mime_type for each in KINDS if _is_opened(each) and each.mime_type.startswith(family)
                }
            elif family != entry and family in {"audio", "video"}:
                families.add(family)
            elif _ESSENCE.fullmatch(entry) and entry not in _NOTHING_SAID:
                types.add(canonical_type(entry))
            else:
                raise ConfigurationError(
                    f'"{entry}" is not a type of files. Give MIME types such as image/png, image/*, text/*, audio/* or '
                    "video/*, or extensions such as .docx, separated by commas."
                )
        if not types | families | extensions:
            raise ConfigurationError("No type of files is allowed. Give at least one, such as image/png.")
        return cls(frozenset(types), frozenset(families), frozenset(extensions))

    def check(self, mime_type: str, name: str) -> None:
        """Refuse a file by its name and declared type; its content may be refused later.

        A file of which neither says anything passes: its content decides.

        Raises:
            UnsupportedTypeError: The type is not allowed, or see `declared_type`.
        """
        found = declared_type(mime_type, name)
        if found != UNDECLARED and not self.includes(found, name):
            raise self.refusal(found)

    def includes(self, mime_type: str, name: str) -> bool:
        """Whether files of a canonical type, or with this extension if the type is unknown, are allowed."""
        if mime_type in self._types:
            return True
        if mime_type not in BY_TYPE and extension(name) in self._extensions:
            return True
        return mime_type.partition("/")[0] in self._families and not kind_of(mime_type).is_active

    def refusal(self, mime_type: str, *, named: str | None = None) -> UnsupportedTypeError:
        """The error of a file of a type that is not allowed.

        Args:
            mime_type: What it was taken for.
            named: The same for people, such as "a ZIP archive".
        """
        what = named or (mime_type if mime_type != UNDECLARED else "of an unknown type")
        return UnsupportedTypeError(
            f"The file is {what}, which cannot be uploaded here. Allowed are: {', '.join(self.listed())}.",
            details={"type": mime_type, "allowed": self.listed()},
        )

    def listed(self) -> list[str]:
        """What is allowed, for people: types, families such as `audio/*`, and extensions; sorted."""
        families = {f"{each}/*" for each in self._families}
        return sorted(self._types | families) + sorted(f".{each}" for each in self._extensions)

    def accept(self) -> dict[str, list[str]]:
        """The types with their extensions, as ChatKit's composer wants them (`attachments.accept`)."""
        accepted = {
            each: [f".{ending}" for ending in kind_of(each).extensions] for each in sorted(self._types)
        }
        accepted |= {f"{each}/*": [] for each in sorted(self._families)}
        if self._extensions:
            accepted[UNDECLARED] = sorted(f".{each}" for each in self._extensions)
        return accepted


def _is_opened(kind: FileKind) -> bool:
    return kind.name != "binary" and not kind.is_active
