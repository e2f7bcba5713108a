"""The file of a `multipart/form-data` upload, as a stream (RFC 7578).

Starlette's parser writes to temporary files without a limit, and loses files whose name is longer than some kilobytes
or is only sent as `filename*`.
"""

import re
from collections.abc import AsyncIterable
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from backchannel.errors import InvalidInputError, InvalidRequestError, UnsupportedMediaTypeError
from backchannel.files.spool import SpooledFile, too_large

FIELD = "file"
"""The name of the part that is the file, as ChatKit's element sends it."""

MAX_HEADER_BYTES = 65_536
"""Of one part: a name of 10,000 characters is shortened later, and no reason to refuse the file."""

MAX_OTHER_BYTES = 1_048_576
"""How much a request may have beside its file: other fields, which are ignored, and what separates them."""

_EXTENDED_NAME = re.compile(r";\s*filename\*\s*=\s*\"?([\w.-]+)'[^']*'([^;\"\s]+)", re.IGNORECASE)
_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}


class FormUpload:
    """Reads one upload.

    Args:
        content_type: The header of the request.
        target: Gets the bytes of the file.
        max_bytes: The most bytes of the file.

    Attributes:
        name: The name of the file as it was sent, not checked; `None` if none was.
        mime_type: The type as it was sent; empty if none was.

    Raises:
        UnsupportedMediaTypeError: The request is no form.
        InvalidRequestError: It is not clear where its parts end.
    """

    def __init__(self, content_type: str, target: SpooledFile, max_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise UnsupportedMediaTypeError("Send the file as multipart/form-data, in a part named `file`.")
        boundary = options.get(b"boundary", b"")
        # RFC 2046, section 5.1.1.
        if not 0 < len(boundary) <= 70:
            raise InvalidRequestError("The Content-Type has no boundary of 1 to 70 characters.")
        self.name: str | None = None
        self.mime_type = ""
        self._target = target
        self._max_bytes = max_bytes
        self._header = _Header()
        self._in_file = self._has_file = self._ended = False
        self._pieces = list[bytes]()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._header.add_field,
                    "on_header_value": self._header.add_value,
                    "on_header_end": self._header.end,
                    "on_headers_finished": self._begin_data,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            raise _malformed() from error

    async def read(self, chunks: AsyncIterable[bytes]) -> None:
        """Read the whole request; the file is then in the target.

        Raises:
            InvalidRequestError: It ends in the middle, or is no valid form.
            InvalidInputError: It has no file, or several.
            TooLargeError: The file is larger than it may be.
        """
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            if received > self._max_bytes + MAX_OTHER_BYTES:
                raise too_large(self._max_bytes)
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _malformed() from error
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                await self._target.write(piece)
        if not self._ended:
            raise InvalidRequestError("The upload was cut off: its last boundary is missing. Send it again.")
        if not self._has_file:
            raise InvalidInputError("The form has no part named `file`.")
        await self._target.flush()

    def _begin_part(self) -> None:
        self._header.clear()
        self._in_file = False

    def _begin_data(self) -> None:
        kind, options = parse_options_header(self._header.disposition)
        if kind != b"form-data":
            raise InvalidRequestError("A part of the form has no Content-Disposition: form-data.")
        if options.get(b"name", b"").decode("latin-1") != FIELD:
            return
        if self._has_file:
            raise InvalidInputError("Send one file in each request.")
        self._has_file = self._in_file = True
        self.name = _name(self._header.disposition, options.get(b"filename"))
        self.mime_type = self._header.mime_type

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


class _Header:
    """The headers of the part that is being read."""

    def __init__(self) -> None:
        self._field = self._value = b""
        self.disposition = self.mime_type = ""

    def clear(self) -> None:
        self._field = self._value = b""
        self.disposition = self.mime_type = ""

    def add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end(self) -> None:
        name, value = self._field.decode("latin-1").lower(), self._value.decode("latin-1").strip()
        self._field = self._value = b""
        if name == "content-disposition":
            self.disposition = value
        elif name == "content-type":
            self.mime_type = value


def _name(disposition: str, plain: bytes | None) -> str | None:
    """The name of a file. Browsers send it in UTF-8 with `"` and line breaks as `%22`, `%0D` and `%0A` (WHATWG HTML,
    section 4.10.21.8); some clients send only `filename*`, which RFC 7578 forbids."""
    if plain:
        name = _decoded(plain)
        for escape, character in _ESCAPES.items():
            name = name.replace(escape, character)
        return name
    extended = _EXTENDED_NAME.search(disposition)
    if extended is None:
        return None
    raw = unquote_to_bytes(extended[2])
    try:
        return raw.decode(extended[1])
    except (LookupError, UnicodeDecodeError):
        return _decoded(raw)


def _decoded(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
    return text


def _malformed() -> InvalidRequestError:
    return InvalidRequestError("The form is malformed. Send the file as multipart/form-data.")
