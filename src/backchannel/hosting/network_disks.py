"""Whether a file is on a disk that other machines share."""

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "afs", "glusterfs", "lustre", "gpfs", "beegfs"}
)
"""Types of file systems. Those in user space have `fuse.` before the name, and are all taken for such."""

_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.lxcfs", "fuse.gocryptfs"})


def network_disk(file: Path, mounts: Path | None = None) -> str | None:
    """The type of the file system that has a file, or will have it, if that is one of a network; else `None`, also
    where it cannot be known: not on Linux.

    Args:
        mounts: A file with lines as proc(5) describes for `/proc/pid/mountinfo`, which is the default.
    """
    try:
        lines = (mounts or MOUNTS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    place = file.resolve()
    best, kind = 0, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        # Spaces and the like are written as octal numbers.
        point = Path(fields[4].encode("latin-1", "replace").decode("unicode_escape"))
        # Of two at the same place, the later one covers the earlier.
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.partition(" ")[0]
    fuse = kind.startswith("fuse.") and kind not in _LOCAL_FUSE
    return kind if kind in _NETWORK or fuse else None
