"""hello-world: one program of a few hundred bytes, assembled here, that says that everything works."""

import struct
from typing import Final

from cais.errors import Unsupported

TEXT: Final = """
Hello from Cais!
If you can read this, containers work on this machine.

What has just happened, step by step:
 1. The command asked the daemon, caisd, for the image cais.local/hello-world.
 2. The image was not here, so caisd made it: a single program without any library.
 3. caisd made a container of the image: namespaces, a root file system, limits.
 4. The program ran in it and wrote these lines, which came back to your terminal.

Something to try next, a shell in a Debian system of its own:
 $ cais run -it --rm cais.local/debian bash

"""

_BASE: Final = 0x400000
_HEADERS_BYTES: Final = 64 + 56  # Elf64_Ehdr and one Elf64_Phdr, <elf.h>
_EM_X86_64: Final = 62
_EM_AARCH64: Final = 183


def hello_program(architecture: str) -> bytes:
    """A static ELF executable that writes `TEXT` to its standard output and exits with 0.

    architecture: "amd64" or "arm64". Raises: Unsupported for another one.
    """
    text = TEXT.lstrip("\n").encode("ascii")
    if architecture == "amd64":
        machine, code = _EM_X86_64, _amd64(len(text))
    elif architecture == "arm64":
        machine, code = _EM_AARCH64, _arm64(len(text))
    else:
        raise Unsupported(f"cais.local/hello-world is not made for the architecture {architecture}")
    size = _HEADERS_BYTES + len(code) + len(text)
    identity = b"\x7fELF" + bytes((2, 1, 1))  # ELFCLASS64, ELFDATA2LSB, EV_CURRENT
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", identity, 2, machine, 1, _BASE + _HEADERS_BYTES, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )  # 2: ET_EXEC
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)  # PT_LOAD, PF_R | PF_X
    return header + segment + code + text


def _amd64(length: int) -> bytes:
    """write(1, text, length); exit(0). The text follows the code."""
    before = b"\xb8\x01\x00\x00\x00" + b"\x89\xc7"  # mov eax, 1; mov edi, eax
    after = (
        b"\xba"
        + struct.pack("<I", length)  # mov edx, length
        + b"\x0f\x05"  # syscall
        + b"\xb8\x3c\x00\x00\x00"  # mov eax, 60
        + b"\x31\xff"  # xor edi, edi
        + b"\x0f\x05"  # syscall
    )
    return before + b"\x48\x8d\x35" + struct.pack("<i", len(after)) + after  # lea rsi, [rip + text]


def _arm64(length: int) -> bytes:
    """The same. Every instruction has four bytes; `adr` counts from its own."""
    instructions = (
        0xD2800020,  # mov x0, #1
        0x10000001 | (7 * 4 >> 2) << 5,  # adr x1, text: seven instructions on
        0xD2800002 | length << 5,  # mov x2, #length
        0xD2800808,  # mov x8, #64, write
        0xD4000001,  # svc #0
        0xD2800000,  # mov x0, #0
        0xD2800BA8,  # mov x8, #93, exit
        0xD4000001,  # svc #0
    )
    return struct.pack(f"<{len(instructions)}I", *instructions)
