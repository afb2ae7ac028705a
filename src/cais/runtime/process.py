"""The last steps of a process on its way into a container: limits, user, command, capabilities, seccomp, exec.

Without no_new_privs a seccomp filter needs CAP_SYS_ADMIN, with it none; either way it is loaded as late as can be,
so that a filter need allow little more than exec itself. Nothing is imported from here on.
"""

import errno
import os
import resource
import signal
import stat
from collections.abc import Callable
from typing import NoReturn

from cais.linux import credentials, seccomp
from cais.runtime import users
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.spec import CAPABILITY_SETS, Process

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EXIT_EXEC_FAILED = 255
_BOUNDING = credentials.bounding_set()
_HELD = _BOUNDING & credentials.permitted_set()
_CAP_SYS_ADMIN = credentials.CAPABILITY_NUMBERS["CAP_SYS_ADMIN"]


def read_program(path: str | None) -> bytes | None:
    """The compiled seccomp filter in a file of the host. Raises: OSError."""
    if path is None:
        return None
    with open(path, "rb", buffering=0) as file:
        return file.read()


def prepare(process: Process, user: users.User, seccomp_program: bytes | None) -> tuple[str, dict[bytes, bytes]]:
    """Make the caller the container's in everything but its program; the path and the environment for `execute`.

    Raises: StartFailed, OSError.
    """
    _settle(process, user)
    env = environment(process, user.home)
    path = find_command(process.args[0], env)
    confine(process, user, seccomp_program)
    return path, env


def prepare_ahead(process: Process, user: users.User, seccomp_program: bytes | None) -> None:
    """`prepare` for a process of which arguments and environment are not known yet: these are the caller's to see to.

    A filter must allow that. Raises: StartFailed, OSError.
    """
    _settle(process, user)
    confine(process, user, seccomp_program)


def _settle(process: Process, user: users.User) -> None:
    inside = enter_working_folder(process.cwd)
    limit(process)
    become(process, user)
    if not inside:
        enter_working_folder(process.cwd, again=True)
    reset_signals()


def set_oom_score(adjustment: int | None) -> None:
    """Set the OOM score, through the host's /proc; None leaves it. Raises: StartFailed."""
    if adjustment is None:
        return
    try:
        _write("/proc/self/oom_score_adj", str(adjustment))
    except OSError as error:
        text = f"set oom_score_adj to {adjustment}: {error.strerror}"
        raise StartFailed(Reason.INVALID, text) from error


def limit(process: Process) -> None:
    """Set resource limits; afterwards the caller may be unable to open another file. Raises: StartFailed."""
    for rlimit in process.rlimits:
        number = getattr(resource, rlimit.type, None)
        if number is None:
            raise StartFailed(Reason.INVALID, f"resource limit {rlimit.type} is not known here")
        soft, hard = (resource.RLIM_INFINITY if value < 0 else value for value in (rlimit.soft, rlimit.hard))
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError) as error:
            raise StartFailed(
                Reason.INVALID, f"error setting rlimit type {rlimit.type} to {rlimit.soft}:{rlimit.hard}: {error}"
            ) from error


def own_streams(stdio: tuple[int, int, int], uid: int) -> None:
    """Give pipes and terminals to the container's user, so that it may open /dev/stdout anew, and make them 0 to 2."""
    for target, fd in enumerate(stdio):
        status = os.fstat(fd)
        if status.st_uid != uid and not _is_null_device(status):
            os.fchown(fd, uid, -1)
        os.dup2(fd, target, inheritable=True)


def become(process: Process, user: users.User) -> None:
    """Turn the caller into the container's user. What it may do is settled by `confine`.

    Its effective capabilities are the container's already, so that it sees what the user will see.
    Raises: OSError.
    """
    sets = _capabilities(process, user)
    credentials.drop_from_bounding_set(_BOUNDING - sets["bounding"])
    credentials.set_keep_capabilities(True)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    credentials.set_keep_capabilities(False)
    credentials.set_dumpable(False)  # a change of user may have reset it
    credentials.set_capabilities(effective=sets["effective"], permitted=_HELD, inheritable=frozenset())
    os.umask(process.umask)


def confine(process: Process, user: users.User, seccomp_program: bytes | None) -> None:
    """Give up, for good, every right that the container does not have. Raises: OSError."""
    sets = _capabilities(process, user)
    if seccomp_program is not None and not process.no_new_privileges:
        credentials.set_capabilities(
            effective=sets["effective"] | {_CAP_SYS_ADMIN}, permitted=_HELD, inheritable=frozenset()
        )
        seccomp.load(seccomp_program)
    credentials.set_capabilities(
        effective=sets["effective"], permitted=sets["permitted"], inheritable=sets["inheritable"]
    )
    credentials.set_ambient(sets["ambient"])
    if process.no_new_privileges:
        credentials.set_no_new_privileges()
        if seccomp_program is not None:
            seccomp.load(seccomp_program)


def enter_working_folder(cwd: str, *, again: bool = False) -> bool:
    """chdir, and check that the result is inside the root (CVE-2024-21626).

    As in runc, root's rights count first, and the user's where those do not reach (a network file system): it is
    called before `become` and, should the result be False, `again` after it. Raises: StartFailed.
    """
    try:
        os.chdir(cwd)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM) and not again:
            return False
        text = f'chdir to cwd ("{cwd}") set in config.json failed: {(error.strerror or "").lower()}'
        raise StartFailed(Reason.NOT_EXECUTABLE, text) from error
    try:
        here = os.getcwd()
    except FileNotFoundError:  # how the C library puts a folder that the root does not lead to
        here = ""
    if not here.startswith("/"):
        text = f'current working directory is outside of container mount namespace root: "{cwd}"'
        raise StartFailed(Reason.INVALID, text)
    return True


def stands_in(cwd: str) -> bool:
    """Whether `cwd`, which the caller entered once, still leads to the working folder."""
    try:
        return os.path.samestat(os.stat(cwd), os.stat("."))
    except OSError:
        return False


def environment(process: Process, home: str) -> dict[bytes, bytes]:
    """The environment as exec takes it; HOME is added where it is not set. Later settings of a name win."""
    env: dict[bytes, bytes] = {}
    for entry in process.env:
        name, _, value = os.fsencode(entry).partition(b"=")
        if name:
            env[name] = value
    if not env.get(b"HOME"):
        env[b"HOME"] = os.fsencode(home).partition(b"\0")[0] or b"/"
    return env


def find_command(name: str, env: dict[bytes, bytes], problem_of: Callable[[str], int | None] | None = None) -> str:
    """The path of the program that `name` means, as the user and in the folder that it will run in.

    problem_of: why a path can't be executed, an errno, or None where it can; else the caller itself looks.
    Raises: StartFailed (not-found, not-executable) in the words that Docker's client looks for.
    """
    problem_of = problem_of or _not_executable
    if "/" in name:
        if (problem := problem_of(name)) is None:
            return name
        if problem == errno.ENOENT:
            text = f'exec: "{name}": stat {name}: no such file or directory'
            raise StartFailed(Reason.NOT_FOUND, text)
        if problem == errno.ENOTDIR:
            raise StartFailed(Reason.NOT_EXECUTABLE, f'exec: "{name}": stat {name}: not a directory')
        raise StartFailed(Reason.NOT_EXECUTABLE, f'exec: "{name}": {os.strerror(problem).lower()}')
    denied = False
    for folder in os.fsdecode(env.get(b"PATH", _DEFAULT_PATH.encode())).split(":"):
        candidate = f"{folder or '.'}/{name}"
        problem = problem_of(candidate)
        if problem is None:
            return candidate
        denied = denied or problem == errno.EACCES
    if denied:
        raise StartFailed(Reason.NOT_EXECUTABLE, f'exec: "{name}": permission denied')
    raise StartFailed(Reason.NOT_FOUND, f'exec: "{name}": executable file not found in $PATH')


def reset_signals() -> None:
    """Default actions and an empty mask, which exec would otherwise hand down.

    The interpreter ignores SIGPIPE and SIGXFSZ; the spawner has seen to all others before its first fork.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def execute(path: str, process: Process, env: dict[bytes, bytes]) -> NoReturn:
    """exec; what fails now is the process's own last word, as in Docker."""
    try:
        os.execve(path, process.args, env)  # noqa: S606  what this module is for
    except OSError as error:
        strerror = (error.strerror or "").lower()
        os.write(2, f"exec {path}: {strerror}\n".encode(errors="replace"))
    os._exit(EXIT_EXEC_FAILED)


def _not_executable(path: str) -> int | None:
    """None, or the errno that tells why `path` can't be executed."""
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno
    if stat.S_ISDIR(status.st_mode):
        return errno.EISDIR
    # faccessat2(2) would answer for mounts without exec too; access(2) and the mode's bits are what runc checks.
    if not status.st_mode & 0o111 or not os.access(path, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return errno.EACCES
    return None


def _capabilities(process: Process, user: users.User) -> dict[str, frozenset[int]]:
    """The sets that are asked for, without what this very process, the engine, does not have itself.

    Docker grants what its own daemon holds; to ask for one that it lacks is refused by the engine beforehand. As
    Docker's, a user other than root starts without effective capabilities, unless ambient ones are asked for.
    """
    sets = {kind: process.capabilities[kind] & _HELD for kind in CAPABILITY_SETS}
    if user.uid != 0:
        sets["effective"] = sets["permitted"] = sets["ambient"]
    return sets


def _is_null_device(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
