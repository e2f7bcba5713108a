"""Errors of files that people upload. Nothing of a refused file is stored."""

from backchannel.errors.base import BackchannelError


class UnsupportedTypeError(BackchannelError):
    """The file's type is not allowed, or its content, its declared type and its name do not agree.

    `details` has `type` (what the file was taken for) and `allowed` (what may be uploaded).
    """

    code = "unsupported_type"
    status = 415
    allow_retry = False
    text = "Files of this type cannot be uploaded here."


class InvalidFileError(BackchannelError):
    """The file is empty or damaged, or cannot be opened for another reason that lies in the file."""

    code = "invalid_file"
    status = 422
    allow_retry = False
    text = "The file is damaged and cannot be opened. Save it again with another program, then try again."


class InfectedFileError(BackchannelError):
    """A scanner has found malicious software in the file."""

    code = "infected_file"
    status = 422
    allow_retry = False
    text = "The virus scanner has found malicious software in the file, so it was not stored."
