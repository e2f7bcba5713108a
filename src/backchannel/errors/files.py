"""Errors of files: their upload, of which nothing is stored then, and links to them."""

from backchannel.errors.base import BackchannelError, ConflictError, ForbiddenError


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


class LinkExpiredError(ForbiddenError):
    """A link to a file was used after its time."""

    code = "link_expired"


class FileQuotaError(BackchannelError):
    """The caller's files have as many bytes as they may."""

    code = "file_quota_exceeded"
    status = 413
    allow_retry = False


class UploadIncompleteError(ConflictError):
    """A message has an attachment whose bytes have not arrived."""

    code = "upload_incomplete"


class RangeError(BackchannelError):
    """A part of a file was asked for that it does not have."""

    code = "range_not_satisfiable"
    status = 416
    allow_retry = False
