"""Errors of files: their upload, and links to them."""

from backchannel.errors.base import BackchannelError, ConflictError, ForbiddenError


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
