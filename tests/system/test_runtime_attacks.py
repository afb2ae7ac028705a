"""Images and containers that attack the runtime while it starts them. The names are those of the known attacks."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cais.linux import mount as mnt
from cais.linux import namespaces
from cais.runtime import rootfs
from cais.runtime.errors import StartFailed
from cais.runtime.messages import RootFilesystem
from tests.harness import host
from tests.harness.runtime import (
    CAPABILITIES,
    DEFAULT_MOUNTS,
    Client,
    Lab,
    bind,
    eventually,
    mount,
    process,
    shell,
    text_of,
)

INTERPRETER = Path(sys.executable).resolve()
PROC = ("nosuid", "noexec", "nodev")
# The host's root without what is mounted below it, and the container's own processes in its /proc
HOST_ROOT = [
    mount("/host", "bind", "/", "bind", "ro"),
    mount("/host/proc", "proc", "proc", *PROC),
]

# Stops each process that appears in the container the moment it appears, and tries everything on it.
SPY = r"""
import ctypes, errno, json, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)

def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]

def opened(path, flags):
    fd = os.open(path, flags | os.O_CLOEXEC)
    os.close(fd)
    return "opened"

def read(path):
    with open(path, "rb") as file:
        return file.read().decode("latin-1")

def stolen(pid, number):
    pidfd = os.pidfd_open(pid)
    fd = libc.syscall(438, pidfd, number, 0)  # pidfd_getfd(2)
    os.close(pidfd)
    if fd < 0:
        return errno.errorcode[ctypes.get_errno()]
    os.close(fd)
    return "stolen"

def look(pid):
    proc = f"/proc/{pid}"
    while read(f"{proc}/stat").rpartition(")")[2].split()[0] not in "TZX":
        pass  # the signal takes a moment
    fds = attempt(lambda: sorted(map(int, os.listdir(f"{proc}/fd"))))
    return {
        "pid": pid,
        "name": attempt(lambda: read(f"{proc}/comm")).strip(),
        "fds": fds,
        "stolen": {n: answer for n in range(3, 30) if (answer := stolen(pid, n)) != "EBADF"},
        "exe": attempt(lambda: os.readlink(f"{proc}/exe")),
        "exe written": attempt(lambda: opened(f"{proc}/exe", os.O_WRONLY)),
        "root": attempt(lambda: os.path.exists(f"{proc}/root/host-marker-of-the-test")),
        "cwd": attempt(lambda: os.readlink(f"{proc}/cwd")),
        "mem": attempt(lambda: opened(f"{proc}/mem", os.O_RDWR)),
        "environ": attempt(lambda: read(f"{proc}/environ")),
        "cmdline": attempt(lambda: read(f"{proc}/cmdline")),
        "status": {line.split(":")[0]: line.split()[1] for line in read(f"{proc}/status").splitlines()
                   if line.startswith(("Cap", "Seccomp:"))},
    }

def stop(pid):
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    return True

print("ready", flush=True)
following = os.getpid() + 1
spins = 0
while True:
    spins += 1
    if not stop(following):
        if spins % 300 == 0:
            if os.path.exists(sys.argv[1]):
                break
            following = max(following, int(read("/proc/loadavg").split()[4]))  # the last pid: some were too quick
        continue
    try:
        print(json.dumps(look(following)), flush=True)
    except OSError as error:
        print(json.dumps({"gone": str(error)}), flush=True)
    try:
        os.kill(following, signal.SIGCONT)
    except ProcessLookupError:
        pass
    following += 1
print("done", flush=True)
"""


async def spy_on_execs(lab: Lab, folder: Path, capabilities: list[str], count: int) -> list[dict[str, Any]]:
    """What a process of a hostile container finds out about `count` processes that join it by exec."""
    (folder / "spy.py").write_text(SPY)
    client = Client()
    command = ["chroot", "/host", str(INTERPRETER), "-I", str(folder / "spy.py"), str(folder / "stop")]
    container = await lab.start(process(command, capabilities=capabilities), mounts=HOST_ROOT, clients=[client])
    output = await client.read_until(b"ready\n")
    # Each on a processor of its own, so that the spy is awake when something happens
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(container.monitor_pid, others or [first])
    os.sched_setaffinity(container.monitor.pid, [first])
    os.setpriority(os.PRIO_PROCESS, container.monitor.pid, -20)
    reading = asyncio.create_task(client.read_until(b"done\n"))
    for number in range(count):
        document = process(["true"], terminal=number % 4 == 3, env=["PATH=/bin", "A=b"])
        await container.exec(document, exec_id=str(number))
        await container.exec_exit_code(str(number))
    (folder / "stop").touch()
    output += await reading
    client.close()
    found = [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]
    return [item for item in found if item.get("name") == "cais-monitor"]  # stopped before its exec, in the window


@pytest.fixture
def host_marker() -> Iterator[None]:
    """A file at the root of the host."""
    path = Path("/host-marker-of-the-test")
    path.touch()
    yield
    path.unlink()


@pytest.mark.usefixtures("host_marker")
async def test_cve_2016_9962_a_process_that_joins_has_nothing_of_the_host(lab: Lab, tmp_path: Path) -> None:
    caught = await spy_on_execs(lab, tmp_path, [*CAPABILITIES, "CAP_SYS_PTRACE"], 200)
    assert len(caught) > 50
    for item in caught:
        assert item["fds"] == [0, 1, 2]
        assert not item["stolen"]
        assert item["exe"].startswith("/memfd:")
        assert item["exe written"] in {"ETXTBSY", "EPERM", "EACCES"}
        assert item["root"] is False
        assert item["cwd"] == "/"
        assert item["environ"] == ""
        assert str(Path(__file__).parents[2]) not in item["cmdline"]
        assert item["status"]["CapPrm"] == item["status"]["CapEff"] == item["status"]["CapBnd"] == "00000000a80425fb"
        assert int(item["status"]["CapInh"], 16) == int(item["status"]["CapAmb"], 16) == 0


async def test_cve_2016_9962_and_cannot_be_looked_into_at_all_without_the_right_to_trace(
    lab: Lab, tmp_path: Path
) -> None:
    caught = await spy_on_execs(lab, tmp_path, CAPABILITIES, 100)
    assert len(caught) > 25
    refused = {"EACCES", "EPERM"}
    for item in caught:
        assert item["fds"] == [0, 1, 2]  # their numbers alone: root may list what it may not open
        assert {item[name] for name in ("exe", "exe written", "cwd", "mem", "environ")} <= refused
        assert item["root"] is False
        assert set(item["stolen"].values()) <= refused


@pytest.mark.parametrize("how", ["start", "exec"])
async def test_cve_2019_5736_the_interpreter_cannot_be_reached_through_a_command(
    lab: Lab, tmp_path: Path, how: str
) -> None:
    before = INTERPRETER.stat()
    content = INTERPRETER.read_bytes()
    (tmp_path / "evil").write_text("#!/proc/self/exe\n")
    (tmp_path / "evil").chmod(0o755)
    if how == "start":
        code, _ = await lab.run(["/evil"], lower=[tmp_path])
    else:
        container = await lab.start(["sleep", "1000"], lower=[tmp_path])
        code, _ = await container.run(["/evil"])
    assert code != 0
    assert INTERPRETER.read_bytes() == content
    assert (INTERPRETER.stat().st_mtime_ns, INTERPRETER.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


async def test_cve_2019_5736_a_runtime_process_s_program_is_a_sealed_copy(lab: Lab) -> None:
    container = await lab.start(["sleep", "1000"])
    assert lab.runtime.spawner_pid is not None
    for pid in (lab.runtime.spawner_pid, container.monitor_pid, *host.descendants(lab.runtime.spawner_pid)):
        if host.command_line(pid) == "sleep 1000":
            continue
        program = os.stat(f"/proc/{pid}/exe")
        assert (program.st_dev, program.st_ino) != (INTERPRETER.stat().st_dev, INTERPRETER.stat().st_ino)
        with pytest.raises(OSError, match=r"Text file busy|Operation not permitted"):
            os.open(f"/proc/{pid}/exe", os.O_WRONLY)


async def test_cve_2019_14271_nothing_of_the_image_is_loaded(lab: Lab, tmp_path: Path) -> None:
    """Modules, codecs and C libraries at the host's own paths; pipes would hang whoever opens them."""
    evil = "import os\nopen('/pwned', 'w').close()\nraise LookupError('pwned')\n"
    library = Path(os.__file__).parent
    image = tmp_path / "image"
    for folder in (library, Path(__file__).parents[2] / "src", INTERPRETER.parent):
        place = image / str(folder).lstrip("/")
        (place / "encodings").mkdir(parents=True)
        (place / "cais/runtime").mkdir(parents=True)
        for name in (
            "encodings/__init__", "encodings/utf_8", "encodings/idna", "encodings/ascii", "encodings/latin_1", "codecs",
            "traceback", "linecache", "warnings", "pwd", "grp", "locale", "site", "sitecustomize", "usercustomize",
            "random", "cais/__init__", "cais/runtime/errors",
        ):  # fmt: skip
            (place / f"{name}.py").write_text(evil)
        (place / "evil.pth").write_text("import os; open('/pwned', 'w')\n")
    for name in ("lib", "lib64", "usr/lib", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "etc"):
        (image / name).mkdir(parents=True, exist_ok=True)
        for library_name in ("libnss_files.so.2", "libnss_compat.so.2", "libc.so.6", "ld.so.preload", "nsswitch.conf"):
            os.mkfifo(image / name / library_name)
    failing: list[dict[str, Any]] = [
        process(["nope"]), process(["true"], user="nobody-here"), process(["true"], user="\u0661"),
        process(["true"], cwd="/etc/passwd"), process(["true"], env=["A=\udcff\ud800"]), process(["\udcff\udcfe"]),
        process(["true"], rlimits=[{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 1}]), process(["true"]) | {"user": 5},
        process(["true"], oomScoreAdj="nothing"), process(["true"], oomScoreAdj=5000),
    ]  # fmt: skip
    for document in failing:
        with pytest.raises(StartFailed):
            await lab.start(document, lower=[image])
    container = await lab.start(["sleep", "1000"], lower=[image])
    for document in failing:
        for terminal in (False, True):
            with pytest.raises(StartFailed):
                await container.exec(document | {"terminal": terminal})
    assert await container.run(process(["cat", "/proc/self/comm"], user="daemon:staff")) == (0, "cat\n")
    assert not list(lab.data_root.glob("*/diff/pwned"))


@pytest.mark.parametrize("number", range(3, 20))
async def test_cve_2024_21626_a_working_folder_through_a_descriptor_leads_nowhere(lab: Lab, number: int) -> None:
    for path in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/..", f"/proc/1/fd/{number}/../../.."):
        with pytest.raises(StartFailed):
            await lab.start(shell("pwd; ls", cwd=path))
    container = await lab.start(["sleep", "1000"])
    for path in (f"/proc/self/fd/{number}", f"/proc/1/fd/{number}", f"/proc/self/fd/{number}/../.."):
        with pytest.raises(StartFailed):
            await container.exec(shell("pwd; ls", cwd=path))


async def test_cve_2024_21626_nor_does_one_through_a_link_of_the_image(lab: Lab, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    for number in range(3, 20):
        (image / f"link{number}").symlink_to(f"/proc/self/fd/{number}")
    (image / "outside").symlink_to("../../../../../..")
    for number in range(3, 20):
        with pytest.raises(StartFailed):
            await lab.start(shell("pwd", cwd=f"/link{number}"), lower=[image])
    code, output = await lab.run(shell("pwd; ls -d bin", cwd="/outside"), lower=[image])
    assert (code, output) == (0, "/\nbin\n")


async def test_the_session_keyring_is_the_container_s_own(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "describe.py").write_text(
        "import ctypes, os\n"
        "number = {'x86_64': 250, 'aarch64': 219}[os.uname().machine]  # keyctl(2)\n"
        "text = ctypes.create_string_buffer(200)\n"
        "ctypes.CDLL(None).syscall(number, 6, -3, text, 200)  # KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING\n"
        "print(text.value.decode().split(';')[-1])\n"
    )
    command = ["chroot", "/host", str(INTERPRETER), "-I", str(tmp_path / "describe.py")]
    code, output = await lab.run(command, mounts=HOST_ROOT, name="keys")
    assert (code, output) == (0, "_ses.keys\n")
    container = await lab.start(["sleep", "1000"], mounts=HOST_ROOT, name="more")
    assert await container.run(command) == (0, "_ses.more\n")


async def test_a_mount_over_a_link_of_the_image_stays_inside(lab: Lab, tmp_path: Path) -> None:
    outside, image, source = tmp_path / "outside", tmp_path / "image", tmp_path / "source"
    for folder in (outside, image, source):
        folder.mkdir()
    (source / "file").write_text("the source\n")
    (image / "absolute").symlink_to(outside)
    (image / "relative").symlink_to("../../../../../../../../" + str(outside).lstrip("/"))
    (image / "file").symlink_to(outside / "file")
    mounts = [
        bind(source, "/absolute/x"),
        bind(source, "/relative/y"),
        bind(source / "file", "/file"),
        mount("/absolute/tmp", "tmpfs", "tmpfs"),
    ]
    script = f"cat {outside}/x/file {outside}/y/file {outside}/file; touch /absolute/tmp/z"
    assert await lab.output(script, lower=[image], mounts=mounts) == "the source\n" * 2 + "the source"
    assert list(outside.iterdir()) == []


async def test_a_mount_through_a_link_into_proc_is_refused(lab: Lab, tmp_path: Path) -> None:
    image, source = tmp_path / "image", tmp_path / "source"
    image.mkdir()
    source.mkdir()
    (image / "link").symlink_to("/proc/sys/kernel")
    (image / "self").symlink_to("/proc/self")
    for target in ("/link", "/self/attr", "/self/root"):
        with pytest.raises(StartFailed):
            await lab.start(["true"], lower=[image], mounts=[bind(source, target)])


@pytest.mark.parametrize("name", ["proc", "sys"])
async def test_the_kernel_s_file_systems_are_not_mounted_over_links(lab: Lab, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/tmp")
    with pytest.raises(StartFailed, match=f"mount /{name}"):
        await lab.start(["true"], lower=[tmp_path])


async def test_cve_2025_31133_masks_are_the_null_device_whatever_the_image_has_in_its_place(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/null").symlink_to("/etc/passwd")
    mounts = [item for item in DEFAULT_MOUNTS if not item["destination"].startswith("/dev")]
    script = "for p in /proc/keys /proc/timer_list; do stat -L -c '%t:%T' $p; wc -c < $p; done"
    for default in (DEFAULT_MOUNTS, mounts):
        try:
            output = await lab.output(script, lower=[tmp_path], default_mounts=default)
        except StartFailed as error:
            assert "make the devices" in error.message  # that image has a link where the device belongs
        else:
            assert output.split() == ["1:3", "0"] * 2


async def test_a_device_that_is_there_already_must_be_the_device(lab: Lab, tmp_path: Path) -> None:
    mounts = [item for item in DEFAULT_MOUNTS if not item["destination"].startswith("/dev")]
    (tmp_path / "dev").mkdir()
    os.mknod(tmp_path / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    with pytest.raises(StartFailed, match="make the devices"):
        await lab.start(["true"], lower=[tmp_path], default_mounts=mounts)


async def test_a_container_cannot_speak_to_its_monitor(lab: Lab) -> None:
    container = await lab.start(shell("sleep 1000"))
    path = container.bundle / "monitor.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(lab.run_root.stat().st_mode) == 0o700
    assert not [line for line in text_of("/proc/net/unix").splitlines() if "@" in line and "cais" in line]
    fds = f"/proc/{container.monitor.pid}/fd"
    await eventually(lambda: host.command_line(container.monitor.pid).startswith("sleep"))
    assert sorted(os.listdir(fds)) == ["0", "1", "2"]
    assert not any(os.readlink(f"{fds}/{number}").startswith("socket:") for number in range(3))


async def test_a_writer_that_never_stops_does_not_hold_the_monitor(lab: Lab) -> None:
    container = await lab.start(["sleep", "1000"])
    for number in range(5):
        await container.exec(shell("yes & yes >&2 & exit 0"), exec_id=str(number))
        assert await asyncio.wait_for(container.exec_exit_code(str(number)), 10) == 0
    assert await asyncio.wait_for(container.run(["echo", "on"]), 10) == (0, "on\n")


def test_layers_are_mounted_on_kernels_without_the_newer_interface_too(tmp_path: Path) -> None:
    """In a child with a mount namespace of its own."""
    names = ["plain", "with:colon", "with,comma", "with\\backslash", "with space", *(f"many{n}" for n in range(120))]
    for number, name in enumerate(names):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"file{number}").touch()
        (tmp_path / name / "which").write_text(name)
    for name in ("up:per", "wo,rk", "target"):
        (tmp_path / name).mkdir()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mnt.mount("", "/", None, mnt.MS_PRIVATE | mnt.MS_REC)
            layers = RootFilesystem(
                tuple(str(tmp_path / name) for name in names), str(tmp_path / "up:per"), str(tmp_path / "wo,rk"), True
            )
            fd = rootfs._overlay_by_mount(layers, str(tmp_path / "target"))
            files = set(os.listdir(fd := os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)))
            assert files == {"which", *(f"file{number}" for number in range(len(names)))}
            assert (tmp_path / "target/which").read_text() == "plain"
            (tmp_path / "target/new").touch()
            assert (tmp_path / "up:per/new").exists()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
