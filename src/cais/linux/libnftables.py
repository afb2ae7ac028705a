"""libnftables: nft(8) as a library. Loads the library when imported, so it is imported only by who writes rules."""

import ctypes
import json
import threading
from typing import Any, Final

# nftables/libnftables.h
_NFT_CTX_DEFAULT: Final = 0
_NFT_CTX_OUTPUT_JSON: Final = 1 << 4
_NFT_CTX_OUTPUT_HANDLE: Final = 1 << 3
_NFT_CTX_OUTPUT_STATELESS: Final = 1 << 2
_NFT_CTX_OUTPUT_TERSE: Final = 1 << 11


class NftError(Exception):
    """nft refused; the text is its own."""


class Nftables:
    """One context of the library, for any thread, one at a time."""

    def __init__(self) -> None:
        """Raises: OSError where the library is not installed."""
        library = ctypes.CDLL("libnftables.so.1")
        library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_free.argtypes = (ctypes.c_void_p,)
        library.nft_ctx_free.restype = None
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = (ctypes.c_void_p,)
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = (ctypes.c_void_p,)
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_ctx_output_set_flags.argtypes = (ctypes.c_void_p, ctypes.c_uint)
        library.nft_ctx_output_set_flags.restype = None
        library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        self._library = library
        self._lock = threading.Lock()
        self._context = library.nft_ctx_new(_NFT_CTX_DEFAULT)
        if not self._context:
            raise OSError(12, "nft_ctx_new")  # ENOMEM
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        """Free the context."""
        with self._lock:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def run(self, commands: str) -> None:
        """Carry out nft commands as one transaction. Raises: NftError; nothing has changed then."""
        self._run(commands, 0)

    def rules(self, command: str) -> str:
        """The text that a `list` command gives, without counters and elements. Raises: NftError."""
        return self._run(command, _NFT_CTX_OUTPUT_STATELESS | _NFT_CTX_OUTPUT_TERSE)

    def listed(self, command: str) -> list[dict[str, Any]]:
        """The objects that a `list` command gives, in nft's JSON form. Raises: NftError."""
        flags = _NFT_CTX_OUTPUT_JSON | _NFT_CTX_OUTPUT_HANDLE | _NFT_CTX_OUTPUT_STATELESS | _NFT_CTX_OUTPUT_TERSE
        found: list[dict[str, Any]] = json.loads(self._run(command, flags)).get("nftables", [])
        return found

    def _run(self, commands: str, flags: int) -> str:
        with self._lock:
            if self._context is None:
                raise NftError("the context is closed")
            self._library.nft_ctx_output_set_flags(self._context, flags)
            failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
            error: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise NftError(error.decode("utf-8", "replace").strip() or "nft failed")
        return output.decode("utf-8", "replace")
