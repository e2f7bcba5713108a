"""Files as tests need them: images, PDFs and archives, whole, odd and hostile. Made here, byte by byte where no program
would make them."""

import io
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image, ImageCms
from pypdf import PdfWriter

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def image(mode: str = "RGB", size: tuple[int, int] = (32, 16), colour: Any = None) -> Image.Image:
    return Image.new(mode, size, colour if colour is not None else 0)


def noise(size: tuple[int, int] = (200, 100)) -> Image.Image:
    """An image that does not compress."""
    return Image.effect_noise(size, 80).convert("RGB")


def saved(picture: Image.Image, name: str, **options: Any) -> bytes:
    into = io.BytesIO()
    picture.save(into, name, **options)
    return into.getvalue()


def animated(name: str, frames: int = 3, size: tuple[int, int] = (20, 10)) -> bytes:
    pictures = [
        Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 200)) for number in range(frames)
    ]
    return saved(pictures[0], name, save_all=True, append_images=pictures[1:], duration=50)


def mpo() -> bytes:
    """Two JPEGs in one file, as some cameras write them."""
    return saved(image(colour="red"), "MPO", save_all=True, append_images=[image(colour="blue")])


def photo(orientation: int = 1, size: tuple[int, int] = (60, 30)) -> bytes:
    """A JPEG of a telephone: red on the left, blue on the right, with the place where it was taken."""
    picture = Image.new("RGB", size, "red")
    picture.paste((0, 0, 255), (size[0] // 2, 0, size[0], size[1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SECRET-CAMERA"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (52.0, 31.0, 12.0)
    return saved(picture, "JPEG", exif=exif, comment=b"SECRET-COMMENT", quality=95)


def profile(kind: Any = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    width: int,
    height: int,
    data: bytes = b"",
    *,
    before: bytes = b"",
    depth: int = 8,
    colour: int = 2,
    end: bool = True,
) -> bytes:
    """A PNG with a header and data that need not fit each other."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return PNG_MAGIC + header + before + chunk(b"IDAT", data) + (chunk(b"IEND", b"") if end else b"")


def rows(width: int, height: int, channels: int = 3) -> bytes:
    return zlib.compress(bytes((1 + width * channels) * height), 9)


def with_header(content: bytes, width: int, height: int) -> bytes:
    """The PNG with another size in its header, and the right checksum."""
    changed = bytearray(content)
    changed[16:24] = struct.pack(">II", width, height)
    changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    return bytes(changed)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A JPEG whose header promises a size."""
    content = bytearray(saved(image(), "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def gif_of_size(width: int, height: int, frame: tuple[int, int] | None = None) -> bytes:
    content = bytearray(saved(image("P"), "GIF"))
    content[6:10] = struct.pack("<HH", width, height)
    place = content.index(b"\x2c", 13) + 5
    content[place : place + 4] = struct.pack("<HH", *(frame or (width, height)))
    return bytes(content)


def gif_of_frames(size: tuple[int, int], frames: int) -> bytes:
    """An animation on a canvas of a size, of small frames."""
    content = gif_of_size(*size, (32, 16))
    start = content.index(b"\x2c", 13)
    return content[:start] + content[start:-1] * frames + b";"


def webp_of_size(width: int, height: int) -> bytes:
    content = bytearray(saved(image(), "WEBP", lossless=True))
    bits = (width - 1) | (height - 1) << 14
    content[21:25] = struct.pack("<I", bits)
    return bytes(content)


def zipped(*entries: tuple[str, bytes], stored: bool = False) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return into.getvalue()


def zip_bomb() -> bytes:
    return zipped(("zeros", bytes(20 << 20)))


def pdf(*texts: str) -> bytes:
    """A PDF with a page for each text."""
    objects: list[bytes] = []
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(texts)))
    objects.append(b"<< /Type /Catalog /Pages 2 0 R >>")
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(texts)} >>".encode())
    for number, text in enumerate(texts):
        content = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode("latin-1")
        font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Resources {font} "
            f"/Contents {4 + 2 * number} 0 R >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return pdf_of(objects)


def pdf_of(objects: list[bytes], *, trailer: bytes = b"") -> bytes:
    """A PDF of objects, numbered from 1; the first is the catalog."""
    content = b"%PDF-1.4\n"
    places: list[int] = []
    for number, each in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    start = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    content += b"".join(b"%010d 00000 n \n" % place for place in places)
    content += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer)
    return content + b"startxref\n%d\n%%%%EOF\n" % start


def encrypted_pdf(password: str, owner: str = "owner", algorithm: str = "AES-256") -> bytes:
    writer = PdfWriter(io.BytesIO(pdf("Hidden words")))
    writer.encrypt(password, owner, algorithm=algorithm)
    into = io.BytesIO()
    writer.write(into)
    return into.getvalue()
