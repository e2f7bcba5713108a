"""The types of files that are known: their names, the extensions and other names for them, and what they are read as.

This table decides, and not the one of the operating system: that differs between machines.
"""

from dataclasses import dataclass
from typing import Literal

type KindName = Literal["image", "pdf", "text", "binary"]

UNDECLARED = "application/octet-stream"
"""The type of a file of which nothing is said: its content decides."""

PLAIN_TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class FileKind:
    """One type of file.

    Attributes:
        mime_type: The name under which it is allowed, stored and served.
        name: How it is read. Only images, PDFs and texts are opened.
        extensions: Without the dot, in lower case, the usual one first.
        aliases: Other names that browsers and programs send.
        is_active: A browser that shows such a file may run scripts in it. No wildcard includes it.
        container: What its first bytes show it as, if many types look the same (`zip`, `ole`, `ftyp` …); else empty.
    """

    mime_type: str
    name: KindName
    extensions: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    is_active: bool = False
    container: str = ""


# Source code is served as plain text: as JavaScript, for example, a page could load it as a script.
_CODE = (
    "txt text log env ini cfg conf properties toml yaml yml rst adoc org tex bib diff patch srt vtt ics vcf eml "
    "po pot py pyi pyw js mjs cjs jsx ts mts cts tsx css scss sass less vue svelte astro java kt kts scala "
    "groovy gradle c h cc cpp cxx hpp hh hxx ino m mm cs fs fsx vb swift go rs zig nim d dart rb erb php phtml "
    "pl pm lua r jl hs lhs elm ml mli clj cljs cljc edn ex exs erl hrl lisp scm rkt el vim sh bash zsh fish ksh "
    "ps1 psm1 psd1 bat cmd awk sed sql graphql gql proto thrift tf tfvars hcl nix cmake mk make dockerfile "
    "containerfile gitignore gitattributes editorconfig dockerignore npmrc lock jsonl ndjson jsonc json5 asm s f "
    "f90 f95 cob pas v sv vhd sol abap applescript tcl coffee pug haml hbs ejs mustache j2 jinja twig liquid cu "
    "cl glsl hlsl wgsl"
)
# video/mp2t is what browsers send for the .ts of TypeScript.
_CODE_ALIASES = (
    "application/javascript application/x-javascript application/ecmascript application/x-typescript "
    "application/typescript video/mp2t video/vnd.dlna.mpeg-tts application/x-sh application/x-shellscript "
    "application/x-csh application/x-bat application/x-msdos-program application/x-python "
    "application/x-python-code application/x-ruby application/x-perl application/x-php application/x-httpd-php "
    "application/x-httpd-php-source application/x-tcl application/x-lua application/sql application/x-sql "
    "application/toml application/x-toml application/yaml application/x-yaml application/graphql "
    "application/x-ndjson application/jsonl application/x-jsonlines application/x-tex application/x-latex "
    "application/x-powershell application/vnd.dart application/rls-services+rs message/rfc822 "
    "application/x-subrip application/x-wine-extension-ini"
)

_OOXML = "application/vnd.openxmlformats-officedocument"
_ODF = "application/vnd.oasis.opendocument"

KINDS = (
    FileKind("image/png", "image", ("png", "apng"), ("image/x-png", "image/apng", "image/vnd.mozilla.apng")),
    FileKind("image/jpeg", "image", ("jpg", "jpeg", "jfif", "jpe", "pjpeg", "pjp", "mpo"),
             ("image/jpg", "image/pjpeg", "image/jfif", "image/mpo", "image/x-mpo", "image/x-jpeg")),
    FileKind("image/gif", "image", ("gif",)),
    FileKind("image/webp", "image", ("webp",), ("image/x-webp",)),
    FileKind("application/pdf", "pdf", ("pdf",), ("application/x-pdf", "application/acrobat",
             "text/pdf", "text/x-pdf")),
    FileKind(PLAIN_TEXT, "text", tuple(_CODE.split()), tuple(_CODE_ALIASES.split())),
    FileKind("text/markdown", "text", ("md", "markdown", "mdown", "mkd", "mdx"),
             ("text/x-markdown", "application/markdown", "application/x-markdown")),
    FileKind("text/csv", "text", ("csv",),
             ("text/x-csv", "application/csv", "application/x-csv", "text/comma-separated-values")),
    FileKind("text/tab-separated-values", "text", ("tsv", "tab"), ("text/tsv", "text/x-tsv")),
    FileKind("application/json", "text", ("json", "ipynb", "geojson", "har"),
             ("text/json", "text/x-json", "application/x-json", "application/geo+json", "application/ld+json",
              "application/x-ipynb+json")),
    FileKind("text/html", "text", ("html", "htm", "shtml", "hta", "mht", "mhtml"), ("multipart/related",),
             is_active=True),
    FileKind("application/xhtml+xml", "text", ("xhtml", "xht"), is_active=True),
    FileKind("image/svg+xml", "text", ("svg",), ("image/svg",), is_active=True),
    FileKind("text/xml", "text",
             ("xml", "xsl", "xslt", "xsd", "rss", "atom", "mml", "plist", "kml", "gpx", "wsdl", "dtd", "rdf"),
             ("application/xml", "text/xsl", "application/xslt+xml", "application/xml-dtd"), is_active=True),
    FileKind("application/zip", "binary", ("zip",),
             ("application/x-zip-compressed", "application/x-zip", "multipart/x-zip"), container="zip"),
    FileKind("application/java-archive", "binary", ("jar", "war", "apk"), (), container="zip"),
    FileKind(f"{_OOXML}.wordprocessingml.document", "binary", ("docx",), container="docx"),
    FileKind(f"{_OOXML}.spreadsheetml.sheet", "binary", ("xlsx",), container="xlsx"),
    FileKind(f"{_OOXML}.presentationml.presentation", "binary", ("pptx",), container="pptx"),
    FileKind(f"{_ODF}.text", "binary", ("odt",), container="odf"),
    FileKind(f"{_ODF}.spreadsheet", "binary", ("ods",), container="odf"),
    FileKind(f"{_ODF}.presentation", "binary", ("odp",), container="odf"),
    FileKind("application/epub+zip", "binary", ("epub",), container="epub"),
    FileKind("application/msword", "binary", ("doc", "dot"), container="ole"),
    FileKind("application/vnd.ms-excel", "binary", ("xls", "xlt"), container="ole"),
    FileKind("application/vnd.ms-powerpoint", "binary", ("ppt", "pps"), container="ole"),
    FileKind("application/rtf", "binary", ("rtf",), ("text/rtf", "text/richtext"), container="rtf"),
    FileKind("image/heic", "binary", ("heic", "heif", "hif"),
             ("image/heif", "image/heic-sequence", "image/heif-sequence"), container="heic"),
    FileKind("image/avif", "binary", ("avif",), container="avif"),
    FileKind("image/tiff", "binary", ("tif", "tiff"), container="tiff"),
    FileKind("image/bmp", "binary", ("bmp", "dib"), ("image/x-ms-bmp", "image/x-bmp"), container="bmp"),
    FileKind("image/x-icon", "binary", ("ico", "cur"), ("image/vnd.microsoft.icon", "image/ico"), container="ico"),
    FileKind("audio/mpeg", "binary", ("mp3",), ("audio/mp3", "audio/x-mp3", "audio/mpeg3"), container="mp3"),
    FileKind("audio/mp4", "binary", ("m4a",), ("audio/m4a", "audio/x-m4a", "audio/aac"), container="mp4"),
    FileKind("audio/wav", "binary", ("wav",), ("audio/x-wav", "audio/wave", "audio/vnd.wave"), container="wav"),
    FileKind("audio/ogg", "binary", ("ogg", "oga", "opus"), ("audio/opus", "application/ogg"), container="ogg"),
    FileKind("audio/flac", "binary", ("flac",), ("audio/x-flac",), container="flac"),
    FileKind("video/mp4", "binary", ("mp4", "m4v"), ("video/x-m4v",), container="mp4"),
    FileKind("video/quicktime", "binary", ("mov", "qt"), container="mp4"),
    FileKind("video/webm", "binary", ("webm",), ("audio/webm",), container="webm"),
    FileKind("application/gzip", "binary", ("gz", "tgz", "svgz"), ("application/x-gzip",), container="gzip"),
    FileKind("application/x-7z-compressed", "binary", ("7z",), container="7z"),
    FileKind("application/vnd.rar", "binary", ("rar",), ("application/x-rar-compressed", "application/x-rar"),
             container="rar"),
    FileKind("application/x-tar", "binary", ("tar",)),
    FileKind("application/vnd.microsoft.portable-executable", "binary",
             ("exe", "dll", "scr", "msi", "cpl", "ocx"),
             ("application/x-msdownload", "application/x-dosexec", "application/x-msi", "application/exe"),
             container="exe"),
    FileKind("application/x-executable", "binary", ("so", "elf", "dylib", "appimage", "class", "wasm"),
             ("application/x-elf", "application/x-sharedlib", "application/x-mach-binary", "application/wasm"),
             container="elf"),
    FileKind("application/x-iso9660-image", "binary", ("iso", "img", "dmg", "vmdk"), ()),
    FileKind("application/x-ms-shortcut", "binary",
             ("lnk", "url", "pif", "reg", "vbs", "vbe", "wsf", "wsh", "jse", "chm")),
)  # fmt: skip

_NAMES = (
    "readme license licence copying authors changelog contributing notice makefile gnumakefile dockerfile "
    "containerfile jenkinsfile vagrantfile procfile gemfile rakefile brewfile justfile caddyfile cmakelists "
    "codeowners version"
)
NAMES_WITHOUT_EXTENSION = frozenset(_NAMES.split())
"""Files of text that usually have no extension."""

AMBIGUOUS = {"csv": "application/vnd.ms-excel", "tsv": "application/vnd.ms-excel"}
"""Extensions for which browsers send the type of another format: Excel registers its own for them."""

BY_TYPE: dict[str, FileKind] = {
    **{alias: kind for kind in KINDS for alias in kind.aliases},
    **{kind.mime_type: kind for kind in KINDS},
}
BY_EXTENSION: dict[str, FileKind] = {}
for _kind in KINDS:
    for _each in _kind.extensions:
        BY_EXTENSION.setdefault(_each, _kind)
