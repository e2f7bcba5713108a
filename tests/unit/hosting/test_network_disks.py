"""SQLite's log needs memory that all its processes share: its file must not be on another machine's disk."""

from pathlib import Path

import pytest

from backchannel.hosting.network_disks import network_disk

pytestmark = pytest.mark.row("F7")

MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:25 / /srv rw shared:2 - nfs4 files:/export rw,vers=4.2
31 30 254:2 / /srv/local rw - xfs /dev/vdb rw
32 22 0:26 / /mnt/my\\040disk rw master:3 - cifs //files/share rw
33 22 0:27 / /home/ada rw - fuse.sshfs ada@host: rw
34 22 0:28 / /mnt/union rw - fuse.mergerfs a:b rw
35 22 0:29 / /covered rw - nfs files:/old rw
36 22 0:30 / /covered rw - tmpfs tmpfs rw
rubbish
"""


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/var/lib/chat.db", None),
        ("/srv/chat.db", "nfs4"),
        ("/srv/deep/folder/chat.db", "nfs4"),
        ("/srvother/chat.db", None),
        ("/srv/local/chat.db", None),
        ("/mnt/my disk/chat.db", "cifs"),
        ("/home/ada/chat.db", "fuse.sshfs"),
        ("/mnt/union/chat.db", None),
        ("/covered/chat.db", None),
    ],
)
def test_the_nearest_mount_decides(tmp_path: Path, file: str, kind: str | None) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_disk(Path(file), mounts) == kind


def test_where_it_cannot_be_known_nothing_is_said(tmp_path: Path) -> None:
    assert network_disk(Path("/srv/chat.db"), tmp_path / "missing") is None


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    kind = network_disk(tmp_path / "chat.db")
    assert kind is None or kind in Path("/proc/self/mountinfo").read_text()
