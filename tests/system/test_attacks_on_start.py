"""Known attacks on the moment of starting or joining a container, played against this engine."""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Daemon
from tests.harness.images import RootFilesystem, busybox_root
from tests.harness.inside import HOST_MARK, INTERPRETER, run


@pytest.fixture
def interpreter_unchanged() -> Iterator[None]:
    """Fails when the host's Python interpreter has other bytes afterwards."""
    before = _digest(INTERPRETER)
    yield
    assert _digest(INTERPRETER) == before


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# CVE-2019-5736: the runtime's own program, reached through /proc/self/exe


@pytest.mark.usefixtures("interpreter_unchanged")
@pytest.mark.parametrize("how", ["run", "exec"])
def test_a_command_that_is_the_runtime_s_own_program_cannot_change_it(caisd: Daemon, how: str) -> None:
    root = busybox_root()
    root.file("bin/trap", b"#!/proc/self/exe\nopen('/proc/self/exe', 'r+b').write(b'changed')\n", 0o755)
    root.link("bin/exe", "/proc/self/exe")
    caisd.import_root("overwrite", root)
    for command in ("trap", "exe", "/proc/self/exe"):
        if how == "run":
            done = caisd.docker("run", "--rm", "overwrite", command, "-c", "print('ran')")
        else:
            name = caisd.docker_output("run", "-d", "overwrite", "sleep", "100")
            done = caisd.docker("exec", name, command, "-c", "print('ran')")
        assert "changed" not in done.stdout + done.stderr
    assert run(caisd, "echo engine works") == "engine works"


@pytest.mark.usefixtures("interpreter_unchanged")
@pytest.mark.parametrize("options", [[], ["--cap-add", "SYS_PTRACE"]], ids=["default", "with SYS_PTRACE"])
def test_a_process_that_joins_shows_nothing_of_the_host(caisd: Daemon, marker: Path, options: list[str]) -> None:
    """CVE-2019-5736, CVE-2016-9962: /proc/PID/{exe,fd,root,cwd,environ,mem} while `exec` enters the container."""
    watcher = f"""
        marker={marker}
        while :; do
            for p in /proc/[0-9]*; do
                exe=$(readlink $p/exe 2>/dev/null) || continue
                case $exe in
                /bin/busybox | "") ;;
                *) (: >>$p/exe) 2>/dev/null && echo "could write $exe" ;;
                esac
                for way in root cwd fd/3 fd/4 fd/5 fd/6 fd/7 fd/8 fd/9 fd/10 fd/11 fd/12; do
                    for up in "" /../../../../../../.. ; do
                        grep -qs '{HOST_MARK}' $p/$way$up$marker && echo "read the host through $way$up of $exe"
                    done
                done
                grep -qs CAIS_TEST_SESSION $p/environ && echo "read the environment of $exe"
            done
        done"""
    caisd.docker_output("run", "-d", "--name", "watcher", *options, "busybox", "sh", "-c", watcher)
    for _ in range(60):
        assert caisd.docker("exec", "watcher", "true").returncode == 0
    assert caisd.docker("logs", "watcher").stdout == ""


def test_a_process_that_joins_cannot_be_looked_into(caisd: Daemon) -> None:
    """Without CAP_SYS_PTRACE its links are refused; it is seen as a process, no more, until it is the command."""
    watcher = """
        while :; do
            for p in /proc/[0-9]*; do
                first=$(readlink $p/exe 2>/dev/null)
                [ "$first" != /bin/busybox ] && [ -n "$first" ] && echo "saw $first"
            done
        done"""
    caisd.docker_output("run", "-d", "--name", "watcher", "busybox", "sh", "-c", watcher)
    for _ in range(60):
        assert caisd.docker("exec", "watcher", "true").returncode == 0
    assert caisd.docker("logs", "watcher").stdout == ""


# CVE-2019-14271: the engine loads code from the image


def _planted_root() -> RootFilesystem:
    """Modules, .pth files and libraries where the host has its own; each Python file leaves a mark when loaded."""
    root = busybox_root()
    mark = b"open('/loaded-by-the-engine', 'w').close()\n"
    standard_library = Path(sysconfig.get_path("stdlib"))
    python_folders = [
        *(standard_library, standard_library / "encodings", standard_library / "lib-dynload"),
        *(Path(sysconfig.get_path("purelib")), Path("/usr/lib/python3/dist-packages")),
    ]
    library_folders = [Path("/lib"), Path("/lib/x86_64-linux-gnu"), Path("/lib/aarch64-linux-gnu")]
    below_root = {parent for folder in python_folders + library_folders for parent in (folder, *folder.parents)}
    for folder in sorted(below_root - {Path("/"), Path("/usr")}):
        root.folder(str(folder)[1:])
    for folder in dict.fromkeys(python_folders):
        for module in sorted(sys.stdlib_module_names | {"idna", "utf_8", "latin_1", "cp1252", "punycode"}):
            root.file(f"{str(folder)[1:]}/{module}.py", mark)
        root.file(f"{str(folder)[1:]}/planted.pth", b"import planted\n")
    for folder in library_folders:
        for library in ("libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1", "libpthread.so.0"):
            root.file(f"{str(folder)[1:]}/{library}", b"\x7fELF planted", 0o755)
    root.file("etc/nsswitch.conf", b"passwd: files dns\nhosts: files dns\n")
    return root


def test_nothing_of_the_image_is_loaded_by_the_engine(caisd: Daemon) -> None:
    root = _planted_root()
    caisd.import_root("planted", root)

    failing = (
        ["planted", "no-such"],
        ["planted", "/etc/passwd"],
        ["-u", "n\u00f6body", "planted", "true"],
        ["-u", "nobody:nogroup", "planted", "true"],
        ["-w", "/etc/passwd", "planted", "true"],
    )
    for options in failing:
        caisd.docker("run", *options)
    name = caisd.docker_output("run", "-d", "planted", "sleep", "100")
    for options in (
        [name, "no-such"],
        ["-u", "n\u00f6body", name, "true"],
        ["-w", "/nowhere", name, "true"],
        [name, "true"],
    ):
        caisd.docker("exec", *options)
    assert caisd.docker("exec", name, "test", "-e", "/loaded-by-the-engine").returncode == 1
    assert not os.path.exists("/loaded-by-the-engine")
    for container in caisd.containers():
        listed = caisd.docker("diff", container)
        assert "loaded-by-the-engine" not in listed.stdout
    for pid in (caisd.pid, caisd.spawner_pid, caisd.monitor_pid(name)):
        maps = Path(f"/proc/{pid}/maps").read_text("utf-8")
        assert str(caisd.data_root) not in maps.replace(str(caisd.data_root / "cais.db"), "")


# CVE-2024-21626: a working folder, or a command, through a descriptor of the runtime


@pytest.mark.parametrize("descriptor", range(3, 15))
def test_a_working_folder_through_a_descriptor_never_leads_out(caisd: Daemon, marker: Path, descriptor: int) -> None:
    way_up = f"../../../../../../../..{marker}"
    done = caisd.docker("run", "--rm", "-w", f"/proc/self/fd/{descriptor}", "busybox", "cat", way_up)
    assert done.returncode != 0
    assert HOST_MARK not in done.stdout


@pytest.mark.parametrize("descriptor", range(3, 15))
def test_a_working_folder_of_exec_through_a_descriptor_never_leads_out(
    caisd: Daemon, marker: Path, descriptor: int
) -> None:
    caisd.docker_output("run", "-d", "--name", "target", "busybox", "sleep", "100")
    way_up = f"../../../../../../../..{marker}"
    done = caisd.docker("exec", "-w", f"/proc/self/fd/{descriptor}", "target", "cat", way_up)
    assert done.returncode != 0
    assert HOST_MARK not in done.stdout


def test_a_working_folder_through_a_link_of_the_image_never_leads_out(caisd: Daemon, marker: Path) -> None:
    root = busybox_root()
    for descriptor in range(3, 15):
        root.link(f"fd{descriptor}", f"/proc/self/fd/{descriptor}")
    caisd.import_root("links", root)
    for descriptor in range(3, 15):
        way_up = f"../../../../../../../..{marker}"
        done = caisd.docker("run", "--rm", "-w", f"/fd{descriptor}", "links", "cat", way_up)
        assert HOST_MARK not in done.stdout
