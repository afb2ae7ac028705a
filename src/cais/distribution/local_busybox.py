"""cais.local/busybox: one static program with all its applets as links."""

import asyncio
import os
import stat
import subprocess
from pathlib import Path
from typing import Final

from cais.distribution.local_root import PATH, MadeRoot, RootWriter, rfc3339
from cais.distribution.oci import ContainerConfig
from cais.distribution.packages import Packages
from cais.distribution.programs import Tell
from cais.errors import Unavailable

PACKAGE: Final = "busybox-static"
INSTALLED: Final = Path("/bin/busybox")

_PT_INTERP: Final = 3  # <elf.h>
_FOLDERS: Final = (
    ("bin", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("root", 0o700),
    ("sbin", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
    ("var/www", 0o755),
)
_USERS: Final = (
    ("root", 0, "/root", "/bin/sh"),
    ("daemon", 1, "/usr/sbin", "/bin/false"),
    ("bin", 2, "/bin", "/bin/false"),
    ("sys", 3, "/dev", "/bin/false"),
    ("sync", 4, "/bin", "/bin/sync"),
    ("mail", 8, "/var/spool/mail", "/bin/false"),
    ("www-data", 33, "/var/www", "/bin/false"),
    ("operator", 37, "/var", "/bin/false"),
    ("nobody", 65534, "/home", "/bin/false"),
)
_GROUPS: Final = (
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("mail", 8),
    ("wheel", 10),
    ("www-data", 33),
    ("operator", 37),
    ("staff", 50),
    ("users", 100),
    ("nobody", 65534),
)


async def make_busybox(_: str, work: Path, tell: Tell, packages: Packages) -> MadeRoot:
    """The archive of the image. The program on this machine is taken, or else that of its package.

    The machine itself is not changed, since another package's busybox may be at work there.
    """
    program = INSTALLED
    if not await asyncio.to_thread(is_static, program):
        tell(f"Downloading package {PACKAGE}")
        unpacked = await packages.download(PACKAGE, work)
        program = next((unpacked / p for p in ("bin/busybox", "usr/bin/busybox") if (unpacked / p).is_file()), program)
    tell("Making root file system")
    archive = work / "root.tar"
    built = await asyncio.to_thread(_write, program, archive)
    defaults = ContainerConfig(env=[PATH], cmd=["sh"])
    return MadeRoot(archive, defaults, rfc3339(built), f"busybox from the package {PACKAGE}")


def is_static(path: Path) -> bool:
    """Whether the file is an ELF program that needs no interpreter, and so runs in any root."""
    try:
        with open(path, "rb") as file:
            header = file.read(64)
            if len(header) < 64 or header[:5] != b"\x7fELF\x02" or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return False
            offset = int.from_bytes(header[32:40], "little")
            size, count = int.from_bytes(header[54:56], "little"), int.from_bytes(header[56:58], "little")
            file.seek(offset)
            segments = file.read(size * count)
    except OSError:
        return False
    types = (segments[start : start + 4] for start in range(0, len(segments), size or 1))
    return bool(segments) and all(int.from_bytes(kind, "little") != _PT_INTERP for kind in types)


def _write(program: Path, archive: Path) -> int:
    """Write the archive; returns the time at which the program was built, which all entries get."""
    try:
        content = program.read_bytes()
        built = int(program.stat().st_mtime)
        listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"make cais.local/busybox from {str(program)!r}: {error}") from error
    with RootWriter(archive, mtime=built) as root:
        for name, mode in _FOLDERS:
            root.folder(name, mode)
        root.file("bin/busybox", content, 0o755)
        for applet in sorted(set(listed.stdout.split()) - {"busybox"}):
            root.link(f"bin/{applet}", "busybox")
        root.link("usr/bin/env", "../../bin/env")
        root.file("etc/passwd", "".join(f"{n}:x:{i}:{i}:{n}:{h}:{s}\n" for n, i, h, s in _USERS).encode())
        root.file("etc/group", "".join(f"{name}:x:{number}:\n" for name, number in _GROUPS).encode())
    return built
