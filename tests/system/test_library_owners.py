"""Whose the engine is: one owner at a time, who joins, who takes over, and what an owner leaves behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import cais
from tests.harness import host
from tests.harness.engine import PROJECT, Daemon, wait_until
from tests.harness.library import Folders, folders, import_busybox
from tests.harness.runtime import eventually
from tests.system.test_library_docs import WITHOUT_PLUGINS

OWNER = """
import asyncio, sys, cais
async def main():
    async with cais.Engine() as engine:
        print(engine.is_here, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""
"""Opens the engine, says whether it is its own, and closes it when its input ends."""

RUNS = "import cais; print(cais.run('busybox', ['echo', 'hi']).stdout)"

STATUSES = """
import asyncio, cais, json
async def main():
    async with cais.Engine() as engine:
        print(json.dumps([found.status for found in await engine.containers.list(all=True)]))
asyncio.run(main())
"""


@pytest.fixture
async def own(clean_host: None) -> AsyncIterator[Folders]:
    """Folders whose engine has the image busybox, and which nobody has open."""
    with folders() as made:
        async with made.engine() as engine:
            await import_busybox(engine)
        yield made


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _left() -> tuple[set[str], int, list[int]]:
    return _threads(), len(os.listdir("/proc/self/fd")), host.children(os.getpid())


async def test_nothing_is_left_of_an_engine_that_was_closed(own: Folders) -> None:
    async with own.engine() as engine:  # what is loaded and opened once in a process is there afterwards
        await engine.run("busybox", ["true"])
    before = _left()
    for _ in range(3):
        async with own.engine() as engine:
            assert own.socket.is_socket()
            assert (await engine.run("busybox", ["echo", "hi"])).stdout == b"hi\n"
    await eventually(lambda: _left() == before)  # the kernel's list of children may lack one while another goes
    assert not own.socket.exists()


async def test_the_program_keeps_its_umask_and_folder(own: Folders, tmp_path: Path) -> None:
    before, umask = Path.cwd(), os.umask(0o077)
    try:
        async with own.engine() as engine:
            assert (await engine.run("busybox", ["sh", "-c", "umask; ls -ld /etc"], user="7")).exit_code == 0
            listed = await engine.run("busybox", ["cat", "/etc/hosts"], user="7")
            assert b"localhost" in listed.stdout
            assert Path.cwd() == before
    finally:
        assert os.umask(umask) == 0o077


async def test_two_in_one_process_share_the_engine_until_the_last_closes(own: Folders) -> None:
    first = own.engine()
    async with first:
        async with own.engine() as second:
            assert (first.is_here, second.is_here) == (True, True)
            container = await first.containers.create("busybox", ["sleep", "60"], name="shared")
            assert [found.name for found in await second.containers.list(all=True)] == ["shared"]
        await container.remove()
        with pytest.raises(cais.Conflict, match="is open already"):
            await first.__aenter__()
    async with first:  # it may be opened again
        assert await first.containers.list(all=True) == []
    with pytest.raises(cais.Unavailable, match="is not open"):
        await first.info()


async def test_containers_run_on_and_are_found_again(own: Folders) -> None:
    async with own.engine() as engine:
        container = await engine.containers.create("busybox", ["sh", "-c", "sleep 0.5; exit 3"], name="lasting")
        await container.start()
    async with own.engine() as engine:
        found = await engine.containers.get("lasting")
        assert found.id == container.id
        assert await found.wait() == 3
        await found.remove()


async def test_who_comes_second_joins_and_takes_over(own: Folders) -> None:
    """A program owns the engine, this process joins it, and does not notice when the owner ends during a run."""
    owner = own.start(OWNER)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "True\n"
    async with own.engine() as engine:
        assert not engine.is_here
        running = asyncio.create_task(engine.run("busybox", ["sh", "-c", "echo a; sleep 2; echo b; exit 4"]))
        kept = asyncio.create_task(engine.run("busybox", ["sh", "-c", "sleep 2; exit 5"], remove=False, name="kept"))
        await asyncio.sleep(1)
        await asyncio.to_thread(owner.communicate)
        assert owner.returncode == 0
        assert await running == cais.Result(4, b"a\nb\n", b"")
        assert (await kept).exit_code == 5
        assert engine.is_here
        await (await engine.containers.get("kept")).remove()


async def test_an_owner_that_is_killed_is_succeeded(own: Folders) -> None:
    owner = own.start(OWNER)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "True\n"
    async with own.engine() as engine:
        container = await engine.containers.create("busybox", ["sleep", "60"])
        await container.start()
        owner.kill()
        owner.communicate()
        assert (await container.inspect()).is_running
        assert engine.is_here
        await container.remove(force=True)


async def test_many_processes_at_once_share_one_engine(own: Folders) -> None:
    """As those of a parallel test run do: whoever is first has it, the others join, and they end in any order."""
    program = (
        "import cais, sys\n"
        "for number in range(5):\n"
        "    result = cais.run('busybox', ['echo', sys.argv[1]], timeout=60)\n"
        "    assert result.stdout_text.strip() == sys.argv[1], result\n"
        "print('done')\n"
    )
    started = [own.start(program, str(number)) for number in range(5)]
    ended = [await asyncio.to_thread(process.communicate, timeout=90) for process in started]
    assert [(process.returncode, out) for process, (out, _) in zip(started, ended, strict=True)] == [(0, "done\n")] * 5


async def test_a_running_caisd_is_used_and_may_be_restarted(private_caisd: Daemon) -> None:
    async with cais.Engine(data_root=private_caisd.data_root, exec_root=private_caisd.exec_root) as engine:
        assert not engine.is_here
        running = asyncio.create_task(engine.run("busybox", ["sh", "-c", "sleep 1; exit 6"]))
        await asyncio.sleep(0.5)
        private_caisd.kill()
        await asyncio.to_thread(private_caisd.start)
        assert (await running).exit_code == 6
        assert not engine.is_here
    async with cais.Engine(host=private_caisd.host) as engine:
        assert (await engine.run("busybox", ["echo", "hi"])).stdout == b"hi\n"


async def test_a_named_host_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(cais.Unavailable, match=r"cannot connect to the engine at unix:///absent\.sock"):
        await cais.Engine(host="unix:///absent.sock").__aenter__()


async def test_other_clients_reach_an_engine_that_is_open_in_a_program(own: Folders) -> None:
    async with own.engine() as engine:
        command = [sys.executable, "-m", "cais.cli", "-H", engine.url, "run", "--rm", "busybox", "echo", "hi"]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=own.environment())
        out, _ = await process.communicate()
        assert (process.returncode, out) == (0, b"hi\n")


async def test_a_folder_whose_owner_does_not_answer_is_a_conflict_that_names_it(
    own: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cais.library.hosting.PATIENCE_SECONDS", 0.3)
    owner = own.start(OWNER)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "True\n"
    own.socket.unlink()
    with pytest.raises(cais.Conflict, match=rf"in use by another engine \(pid {owner.pid}\), which does not answer at"):
        await own.engine().__aenter__()
    owner.communicate()


async def test_an_engine_of_another_folder_is_not_taken_for_this_one(own: Folders) -> None:
    async with own.engine():
        other = cais.Engine(data_root=own.root / "other", exec_root=own.exec_root)
        with pytest.raises(cais.Conflict, match=r"has the state folder '.*/data', not '.*/other'"):
            await other.__aenter__()
    assert not (own.root / "other").exists()


def test_another_user_than_root_is_told(own: Folders) -> None:
    for folder in (own.root, own.exec_root):
        os.chmod(folder, 0o755)  # noqa: S103  it is another user who looks
    program = (
        "import os, cais\nos.setuid(65534)\n"
        "try:\n    cais.run('busybox', ['true'])\nexcept cais.Forbidden as error:\n    print(error)"
    )
    done = own.python(program)
    expected = f"no engine answers at {str(own.socket)!r}, and only root can open one\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


async def test_another_user_than_root_is_not_let_in(own: Folders) -> None:
    os.chmod(own.root, 0o755)  # noqa: S103
    async with own.engine():
        os.chmod(own.exec_root, 0o755)  # noqa: S103
        program = (
            "import os, cais\nos.setuid(65534)\n"
            "try:\n    cais.run('busybox', ['true'])\nexcept cais.Forbidden as error:\n    print(error)"
        )
        done = await asyncio.to_thread(own.python, program)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("permission denied while trying to connect to the engine at unix:///")


@pytest.mark.parametrize(
    "program",
    [
        RUNS,
        f"import threading\ndef work():\n    {RUNS}\nit = threading.Thread(target=work); it.start(); it.join()",
        f"import asyncio\nasync def main():\n    {RUNS}\nasyncio.run(main())",
        f"{RUNS}\ncais.close()\ncais.close()",
        "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD]); " + RUNS,
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); " + RUNS,
    ],
    ids=["plain", "thread", "event loop", "closed", "blocked signals", "ignored children"],
)
def test_a_program_may_call_from_anywhere_and_ends_cleanly(own: Folders, program: str) -> None:
    done = own.python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'hi\\n'\n", "")
    assert not own.socket.exists()


def test_an_interrupted_call_removes_its_container(own: Folders) -> None:
    process = own.start("import cais; cais.run('busybox', ['sleep', '60'], name='interrupted')")
    wait_until(own.socket.exists, 20)
    wait_until(lambda: json.loads(own.python(STATUSES).stdout) == ["running"], 20)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert json.loads(own.python(STATUSES).stdout) == []


def test_a_forked_process_joins_its_parent_and_keeps_nothing(own: Folders) -> None:
    """The child of a fork has none of the parent's threads, and must neither use nor hold what was theirs."""
    program = (
        "import os, signal, time, cais\n"
        "print(cais.run('busybox', ['echo', 'parent']).stdout, flush=True)\n"
        "reading, writing = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print(cais.run('busybox', ['echo', 'child']).stdout, flush=True)\n"
        "    os.close(writing)\n"
        "    os.read(reading, 1)\n"
        "    os._exit(0)\n"
        "os.close(reading)\n"
        "time.sleep(1.5)\n"
        "began = time.monotonic()\n"
        "cais.close()\n"
        "assert time.monotonic() - began < 3, 'the spawner did not notice its end'\n"
        "print(cais.run('busybox', ['echo', 'again']).stdout, flush=True)\n"
        "os.close(writing)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    done = own.python(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "b'parent\\n'\nb'child\\n'\nb'again\\n'\n"


def test_it_works_inside_a_test_run_where_warnings_are_errors(own: Folders) -> None:
    file = own.root / "test_inside.py"
    file.write_text(
        "import cais\n"
        "def test_first(): assert cais.run('busybox', ['echo', 'hi']).stdout == b'hi\\n'\n"
        "def test_second(): assert cais.run('busybox', ['false']).exit_code == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *WITHOUT_PLUGINS, str(file)],
        check=False, capture_output=True, text=True, timeout=90, env=own.environment(), cwd=own.root,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of an environment in which the package is installed from its wheel, away from this tree."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(build, cwd=PROJECT, check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv")
    interpreter = folder / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "-q", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, timeout=120)
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    needed = Path(pytest.__file__).parent.parent  # what the package requires; this tree is not found there
    (packages / "needed.pth").write_text(f"{needed}\n")
    yield interpreter


def test_an_installed_package_needs_nothing_else(own: Folders, installed: Path) -> None:
    program = f"{RUNS}; print(cais.__file__)"
    done = subprocess.run(
        [installed, "-c", program], check=False, capture_output=True, text=True, timeout=90, cwd="/",
        env=own.environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    out, file = done.stdout.splitlines()
    assert out == "b'hi\\n'"
    assert Path(file).is_relative_to(installed.parent.parent)
