"""Settings of files that people attach to messages."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from backchannel.file_checks.types import DEFAULT_TYPES, AllowedTypes

DEFAULT_FOLDER = "files"
"""Below the data folder, where no other place is set."""


def _types(value: str) -> str:
    AllowedTypes.parse(value)
    return value


class FileSettings(BaseSettings):
    """See the module."""

    files_url: str | None = Field(
        None,
        description="Where files are: `file:///PATH`, `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, "
        "`gs://BUCKET/PREFIX` or `memory://`; keys, regions and endpoints by the usual variables of the clouds. "
        "Default: the folder `.backchannel/files`, which other machines do not see.",
    )
    files_public_url: str | None = Field(
        None,
        description="The address at which browsers reach the file store, where it has another one for the server.",
    )
    files_presigned: bool = Field(
        True,
        description="Whether browsers read and write files at the file store itself, where it can be asked to let them "
        "(S3, Azure, Google). Otherwise all bytes pass through this server.",
    )
    max_upload_bytes: int = Field(
        26_214_400, ge=0, description="Largest file that can be attached, in bytes; 0 for no files at all."
    )
    upload_types: Annotated[str, AfterValidator(_types)] = Field(
        DEFAULT_TYPES,
        description="The types of files that are taken: MIME types, `image/*`, or extensions (`.docx`), separated by "
        "commas. HTML, SVG and others that a browser could run must be named themselves.",
    )
    file_quota_bytes: int = Field(
        1_073_741_824, ge=0, description="The most bytes of all files of one user; 0 for no limit."
    )
    file_link_seconds: int = Field(
        3_600, ge=10, le=604_800, description="How long a link to a file is valid, in seconds."
    )
    upload_link_seconds: int = Field(
        3_600,
        ge=10,
        le=3_600,
        description="How long an announced file can be uploaded, in seconds.",
    )
    upload_timeout_seconds: float = Field(
        1_800, gt=0, le=3_600, description="How long an upload may take, in seconds."
    )
    unsent_file_hours: float = Field(
        24, gt=0, le=8_760, description="After how many hours a file that was never sent is deleted."
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=500_000_000, description="The most pixels of a picture, over all of its frames."
    )
    max_file_text_chars: int = Field(
        100_000, ge=100, le=10_000_000, description="How much of a file's text the model gets, in characters."
    )
    scanner_url: str | None = Field(
        None,
        pattern=r"^(tcp://|unix:///)",
        description="The virus scanner that sees every file first: clamd at `tcp://HOST:PORT` or `unix:///PATH`. Files "
        "are refused while it does not answer.",
    )
    scanner_timeout_seconds: float = Field(
        60, gt=0, le=600, description="How long the scan of a file may take, in seconds."
    )
    model_inputs: Literal["text", "images", "images,pdf"] = Field(
        "images,pdf",
        description="What the model can see of files besides text. PDFs that it does not take are sent as their text.",
    )
