"""Seccomp programs: a policy compiled for a container's capabilities, kept on disk for the runtime to load.

Compiling takes some forty milliseconds. A program depends on few things (the capabilities that make a difference,
the kernel, libseccomp), so most containers share one; it outlives the daemon in the run folder, and `warm` compiles
the usual one before the first container needs it.
"""

import hashlib
import os
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final

from cais.engine import seccomp_profile
from cais.engine.capabilities import DEFAULT as DEFAULT_CAPABILITIES
from cais.engine.seccomp_policy import DEFAULT, Policy
from cais.errors import Unsupported

# Changes whenever the same policy would give another program
_FORMAT: Final = "2"
_REMEMBERED: Final = 256

_lock = threading.Lock()
# By where they are, the user's profile (None for the default policy) and the capabilities
_paths: dict[tuple[Path, bytes | None, frozenset[str]], str] = {}


def program(capabilities: Collection[str], exec_root: Path) -> str:
    """The path of the default policy's program for a container whose bounding set is `capabilities` (CAP_* names).

    Compiles it if it isn't there, which takes long enough to be done in a thread. Raises Unsupported without
    libseccomp or on an unknown architecture.
    """
    return _program(None, capabilities, exec_root)


def custom(profile: bytes, capabilities: Collection[str], exec_root: Path) -> str:
    """The same for a user's profile in Docker's JSON format.

    Raises InvalidArgument or Unsupported for what is wrong with the profile, too.
    """
    return _program(profile, capabilities, exec_root)


def warm(exec_root: Path) -> None:
    """Compile the program that most containers will use. Blocks: for a thread, when the daemon starts."""
    program(DEFAULT_CAPABILITIES, exec_root)


def _program(profile: bytes | None, capabilities: Collection[str], exec_root: Path) -> str:
    key = exec_root, profile, frozenset(capabilities)
    with _lock:
        path = _paths.get(key)
        if path is None or not os.path.exists(path):
            policy = DEFAULT if profile is None else seccomp_profile.parse(profile)
            path = _on_disk(policy, policy.capabilities().intersection(capabilities), exec_root)
            if len(_paths) >= _REMEMBERED:
                _paths.clear()
            _paths[key] = path
        return path


def _on_disk(policy: Policy, capabilities: frozenset[str], exec_root: Path) -> str:
    try:
        from cais.engine import seccomp_compile  # noqa: PLC0415  loads a library that only this needs
    except OSError as error:
        raise Unsupported(f'seccomp: {error}; install the package "libseccomp2"') from error
    inputs = (_FORMAT, seccomp_compile.environment(), sorted(capabilities), policy)
    path = exec_root / "seccomp" / f"{hashlib.sha256(repr(inputs).encode()).hexdigest()}.bpf"
    if not path.exists():
        _store(path, seccomp_compile.compile_policy(policy, capabilities))
    return str(path)


def _store(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all, for root alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
