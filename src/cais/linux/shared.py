"""A page of memory that a process shares with its children. mmap(2), madvise(2)."""

import ctypes
import mmap
import struct

_NUMBER = struct.Struct("=i")


class SharedNumbers:
    """Numbers (C's int) that a child may leave for its parent; all are 0 at first."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, mmap.PAGESIZE)

    def get(self, index: int) -> int:
        """The number at `index`."""
        return int(_NUMBER.unpack_from(self._map, index * _NUMBER.size)[0])

    def put(self, index: int, value: int) -> None:
        """Store a number."""
        _NUMBER.pack_into(self._map, index * _NUMBER.size, value)

    def address(self, index: int) -> int:
        """Where the number at `index` is in memory, for a system call that fills it in."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map, index * _NUMBER.size))

    def keep_from_children(self) -> None:
        """What the caller forks from now on does not have this page. MADV_DONTFORK."""
        self._map.madvise(mmap.MADV_DONTFORK)

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()
