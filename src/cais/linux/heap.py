"""The C library's heap. mallopt(3)."""

from cais.linux.libc import libc

_M_ARENA_MAX = -8  # <malloc.h>


def share_arena() -> None:
    """Have all threads take memory from one place.

    The GNU C library gives each thread a place of its own, where what is freed stays: for a daemon whose threads come
    and go that is several megabytes. Other C libraries have no such thing, and nothing happens.
    """
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
