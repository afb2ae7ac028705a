"""The image that the tests run: a static busybox with all its applets, made from this machine's /bin/busybox."""

import io
import subprocess
import tarfile

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USERS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUPS = """\
root:x:0:
daemon:x:1:
staff:x:50:daemon
nogroup:x:65534:
"""
FOLDERS = ("bin", "etc", "home", "root", "sbin", "tmp", "usr", "usr/bin", "usr/sbin", "var", "var/www")


class RootFilesystem:
    """A root file system as a tar archive, written entry by entry."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._archive = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)

    def folder(self, name: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        entry.uid, entry.gid = owner
        self._archive.addfile(entry)

    def file(self, name: str, content: bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), mode
        entry.uid, entry.gid = owner
        self._archive.addfile(entry, io.BytesIO(content))

    def link(self, name: str, target: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, target
        self._archive.addfile(entry)

    def special(self, name: str, kind: bytes, mode: int = 0o644) -> None:
        """A FIFO (`tarfile.FIFOTYPE`) or another entry without content."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = kind, mode
        self._archive.addfile(entry)

    def finish(self) -> bytes:
        self._archive.close()
        return self._buffer.getvalue()


def busybox_root(*, passwd: bytes | None = USERS.encode(), group: bytes | None = GROUPS.encode()) -> RootFilesystem:
    """The busybox tree, open for more entries; without /etc/passwd or /etc/group where None is given."""
    root = RootFilesystem()
    for name in FOLDERS:
        root.folder(name, 0o1777 if name == "tmp" else 0o755)
    with open("/bin/busybox", "rb") as program:
        root.file("bin/busybox", program.read(), 0o755)
    listed = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True)
    for applet in listed.stdout.split():
        if applet != "busybox":
            root.link(f"bin/{applet}", "busybox")
    if passwd is not None:
        root.file("etc/passwd", passwd)
    if group is not None:
        root.file("etc/group", group)
    return root
