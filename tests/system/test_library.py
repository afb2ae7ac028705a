"""The library's calls, the same through a running caisd as with an engine that is opened in this process."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import cais
from tests.harness.engine import Daemon
from tests.harness.images import busybox_root
from tests.harness.library import Folders, folders, import_busybox
from tests.system.test_api_images import saved


@pytest.fixture(scope="module")
def own(clean_host: None) -> Iterator[Folders]:
    """The folders of engines that are opened here; the first test brings the image."""
    with folders() as made:
        yield made


@pytest.fixture(params=["here", "caisd"])
async def engine(request: pytest.FixtureRequest, own: Folders) -> AsyncIterator[cais.Engine]:
    if request.param == "here":
        opened = own.engine()
    else:
        daemon: Daemon = request.getfixturevalue("caisd")
        opened = cais.Engine(data_root=daemon.data_root, exec_root=daemon.exec_root)
    async with opened:
        assert opened.is_here == (request.param == "here")
        if not await opened.images.list(filters={"reference": ["busybox:latest"]}):
            await import_busybox(opened)
        yield opened
        assert await opened.containers.list(all=True) == []


async def text_of(container: cais.Container, **options: bool) -> str:
    return "".join([piece.text async for piece in container.logs(**options)])  # type: ignore[arg-type]


async def test_a_command_has_an_exit_code_and_two_outputs(engine: cais.Engine) -> None:
    result = await engine.run("busybox", ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert result == cais.Result(3, b"out\n", b"err\n")
    assert (result.stdout_text, result.stderr_text) == ("out\n", "err\n")


async def test_every_option_reaches_the_container(engine: cais.Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host\n")
    os.chmod(tmp_path, 0o755)  # noqa: S103  it is a user of the container who reads it
    script = (
        "echo $A; id -u; pwd; hostname; cat /mnt/file; touch /mnt/x 2>/dev/null || echo read-only; grep -c ' /t ' "
        "/proc/mounts; ulimit -n; touch /y 2>/dev/null || echo sealed; ls /sys/class/net; grep CapEff /proc/self/status"
    )
    result = await engine.run(
        "busybox", ["-c", script],
        entrypoint=["sh"], env={"A": "b=c"}, user="7", workdir="/tmp", hostname="box",
        volumes={tmp_path: "/mnt:ro"}, tmpfs={"/t": "size=1m"}, ulimits={"nofile": (100, 200)}, read_only=True,
        network="none", cap_drop=["ALL"], security_opt=["no-new-privileges"], sysctls={"net.ipv4.ip_forward": "0"},
    )  # fmt: skip
    assert result.stdout_text.splitlines() == [
        "b=c", "7", "/tmp", "box", "of the host", "read-only", "1", "100", "sealed", "lo", "CapEff:\t" + "0" * 16,
    ]  # fmt: skip
    assert result.exit_code == 0, result.stderr


async def test_limits_and_fields_of_the_api_are_inspected_as_given(engine: cais.Engine) -> None:
    async with await engine.containers.create(
        "busybox", ["true"], name="limited", memory="64m", cpus=0.5, pids_limit=50, shm_size=1 << 20, init=True,
        cap_add=["SYS_TIME"], restart="on-failure:2", stop_signal="SIGINT", stop_timeout=3, labels={"a": "b"},
        config={"Domainname": "example"}, host_config={"OomScoreAdj": 500},
    ) as container:  # fmt: skip
        seen = await container.inspect()
        assert (seen.name, seen.status, seen.is_running, seen.labels) == ("limited", "created", False, {"a": "b"})
        assert (seen.image, seen.command, seen.started) == ("busybox", ("true",), None)
        assert datetime.now(UTC) - seen.created < timedelta(minutes=1)
        host, config = seen.raw["HostConfig"], seen.raw["Config"]
        assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 << 20, 500_000_000, 50)
        assert (host["ShmSize"], host["Init"], host["OomScoreAdj"]) == (1 << 20, True, 500)
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
        assert (config["StopSignal"], config["StopTimeout"], config["Domainname"]) == ("SIGINT", 3, "example")
        assert await container.update(memory="32m", cpus=1) == []
        host = (await container.inspect()).raw["HostConfig"]
        assert (host["Memory"], host["NanoCpus"]) == (32 << 20, 1_000_000_000)


async def test_much_input_is_read_while_much_output_is_written(engine: cais.Engine) -> None:
    data = bytes(range(256)) * 20_000
    result = await engine.run("busybox", ["cat"], input=data)
    assert result.stdout == data
    assert (await engine.run("busybox", ["true"], input=data)).exit_code == 0
    assert (await engine.run("busybox", ["cat"], input=b"")).stdout == b""


async def test_a_terminal_has_one_stream(engine: cais.Engine) -> None:
    result = await engine.run("busybox", ["sh", "-c", "test -t 1 && echo out; echo err >&2"], tty=True)
    assert result == cais.Result(0, b"out\r\nerr\r\n", b"")


async def test_errors_are_the_classes_of_cais(engine: cais.Engine) -> None:
    with pytest.raises(cais.NotFound, match="No such image: absent:latest"):
        await engine.run("absent", pull="never")
    with pytest.raises(cais.NotFound, match="No such container: absent"):
        await engine.containers.get("absent")
    with pytest.raises(cais.InvalidArgument, match="executable file not found"):
        await engine.run("busybox", ["absent"])
    with pytest.raises(cais.Unsupported, match=r"the user namespace .* is not supported yet"):
        await engine.containers.create("busybox", ["true"], host_config={"UsernsMode": "x"})
    async with await engine.containers.create("busybox", ["true"], name="taken") as container:
        with pytest.raises(cais.Conflict, match='"/taken" is already in use'):
            await engine.containers.create("busybox", ["true"], name="taken")
        with pytest.raises(cais.Conflict, match="is not running"):
            await container.exec(["true"])
        await container.remove()
        with pytest.raises(cais.NotFound):
            await container.start()
    with pytest.raises(cais.InvalidArgument, match="invalid pull option"):
        await engine.run("busybox", pull="maybe")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'nane'"):
        await engine.run("busybox", nane="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a command is a list of words"):
        await engine.run("busybox", "echo hi")


async def test_a_failure_is_raised_when_asked_for(engine: cais.Engine) -> None:
    with pytest.raises(cais.CommandFailed, match=r"ended with exit code 4: second$") as caught:
        await engine.run("busybox", ["sh", "-c", "echo out; echo first >&2; echo second >&2; exit 4"], check=True)
    assert caught.value.result == cais.Result(4, b"out\n", b"first\nsecond\n")


@pytest.mark.parametrize("remove", [True, False])
async def test_what_takes_too_long_is_ended(engine: cais.Engine, remove: bool) -> None:
    with pytest.raises(cais.CommandTimeout, match=r"was ended after 0.5 s") as caught:
        await engine.run("busybox", ["sh", "-c", "echo begun; sleep 60"], timeout=0.5, remove=remove, name="slow")
    assert (caught.value.stdout, caught.value.stderr) == (b"begun\n", b"")
    left = await engine.containers.list(all=True)
    assert [found.status for found in left] == ([] if remove else ["exited"])
    for found in left:
        await (await engine.containers.get(found.name)).remove()


async def test_a_cancelled_run_leaves_nothing_whenever_it_is_cancelled(engine: cais.Engine) -> None:
    for wait_seconds in (0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.3):
        task = asyncio.create_task(engine.run("busybox", ["sleep", "60"]))
        await asyncio.sleep(wait_seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await engine.containers.list(all=True) == [], wait_seconds


async def test_many_at_once(engine: cais.Engine) -> None:
    runs = (engine.run("busybox", ["echo", str(number)]) for number in range(40))
    assert [result.stdout for result in await asyncio.gather(*runs)] == [b"%d\n" % number for number in range(40)]


async def test_the_life_of_a_container(engine: cais.Engine) -> None:
    script = "trap 'echo ends; exit 5' TERM; echo begins; while :; do sleep 0.05; done"
    async with await engine.containers.create("busybox", ["sh", "-c", script], name="alive") as container:
        await container.start()
        await container.start()  # it runs already
        async for piece in container.logs(follow=True):
            assert piece == cais.Output("stdout", b"begins\n")
            break
        await container.pause()
        assert (await container.inspect()).status == "paused"
        await container.unpause()
        await container.rename("renamed")
        assert [(found.name, found.status) for found in await engine.containers.list()] == [("renamed", "running")]
        assert (await engine.containers.get("renamed")).id == container.id
        assert any("while :" in line["CMD"] for line in await container.processes())
        stats = await container.stats()
        assert 0 < stats.memory_bytes < stats.memory_limit_bytes
        assert stats.processes >= 1
        assert stats.cpu_seconds > 0
        async with container.ending("next-exit") as exit_code:
            await container.restart()
            assert await exit_code() == 5
        assert (await container.inspect()).is_running
        await _until_written(container, "begins\nends\nbegins\n")
        waiting = asyncio.create_task(container.wait())
        await container.stop()
        assert await waiting == 5
        seen = await container.inspect()
        assert (seen.status, seen.exit_code, seen.pid, seen.is_running) == ("exited", 5, 0, False)
        assert seen.started is not None
        assert seen.finished is not None
        assert seen.started < seen.finished
        assert await text_of(container) == "begins\nends\n" * 2
        await container.start()
        await container.kill()
        assert await container.wait() == 137


async def _until_written(container: cais.Container, text: str) -> None:
    written = ""
    async for piece in container.logs(follow=True):
        written += piece.text
        if written == text:
            return


async def test_the_log_is_read_as_asked(engine: cais.Engine) -> None:
    script = "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three"
    async with await engine.containers.create("busybox", ["sh", "-c", script]) as container:
        await container.start()
        await container.wait()
        assert await text_of(container) == "one\ntwo\nthree\n"
        assert await text_of(container, stdout=False) == "two\n"
        assert [piece.text async for piece in container.logs(tail=1)] == ["three\n"]
        [line] = [piece.text async for piece in container.logs(tail=1, timestamps=True)]
        written = datetime.fromisoformat(line.split()[0])
        assert datetime.now(UTC) - written < timedelta(minutes=1)
        assert [piece async for piece in container.logs(since=written + timedelta(seconds=1))] == []
        assert [piece async for piece in container.logs(until=written - timedelta(minutes=1))] == []


async def test_attached_streams_carry_both_ways(engine: cais.Engine) -> None:
    async with await engine.containers.create("busybox", ["sh", "-c", "cat; echo end >&2"], stdin=True) as container:
        async with container.attach(stdin=True) as streams:
            await container.start()
            outputs = aiter(streams)
            for word in (b"one\n", b"two\n"):
                await streams.write(word)
                assert await anext(outputs) == cais.Output("stdout", word)
            async with container.attach(logs=True) as late:
                assert (await anext(aiter(late))).data.startswith(b"one\n")
            await streams.write_eof()
            assert [piece async for piece in outputs] == [cais.Output("stderr", b"end\n")]
            with pytest.raises(BrokenPipeError):
                await streams.write(b"too late\n")


async def test_who_writes_to_what_has_ended_is_told(engine: cais.Engine) -> None:
    async with await engine.containers.create("busybox", ["true"], stdin=True) as container:
        async with container.attach(stdin=True) as streams:
            await container.start()
            await container.wait()
            with pytest.raises(BrokenPipeError):
                await _write_for_ever(streams)


async def _write_for_ever(streams: cais.Attached) -> None:
    while True:
        await streams.write(b"too late\n")


async def test_commands_in_a_running_container(engine: cais.Engine) -> None:
    async with await engine.containers.create("busybox", ["sleep", "60"]) as container:
        await container.start()
        script = "cat; echo $A; id -u; pwd; echo err >&2; exit 6"
        result = await container.exec(
            ["sh", "-c", script], input=b"in\n", env={"A": "b"}, user="7", workdir="/tmp"
        )  # fmt: skip
        assert result == cais.Result(6, b"in\nb\n7\n/tmp\n", b"err\n")
        assert (await container.exec(["test", "-t", "1"], tty=True)).exit_code == 0
        assert (await container.exec(["absent"])).exit_code == 127
        with pytest.raises(cais.CommandFailed, match="exit code 1"):
            await container.exec(["false"], check=True)
        with pytest.raises(cais.CommandTimeout) as caught:
            await container.exec(["sh", "-c", "echo begun; exec sleep 77"], timeout=0.5)
        assert caught.value.stdout == b"begun\n"
        task = asyncio.create_task(container.exec(["sleep", "78"]))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _until_only(container, "sleep 60")


async def _until_only(container: cais.Container, command: str) -> None:
    """The kernel needs a moment for the end of what was killed."""
    async with asyncio.timeout(5):
        while [line["CMD"] for line in await container.processes()] != [command]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_files_that_changed_and_all_files(engine: cais.Engine) -> None:
    async with await engine.containers.create("busybox", ["sh", "-c", "echo new > /tmp/new; rm /bin/ls"]) as container:
        await container.start()
        await container.wait()
        changes = await container.changes()
        assert cais.Change("added", "/tmp/new") in changes
        assert cais.Change("deleted", "/bin/ls") in changes
        archive = b"".join([block async for block in container.export()])
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            new = files.extractfile("tmp/new")
            assert new is not None
            assert new.read() == b"new\n"
            assert "bin/ls" not in files.getnames()


async def test_images_come_and_go(engine: cais.Engine, tmp_path: Path) -> None:
    archive = busybox_root().finish()
    made = await engine.images.import_(archive, "made:1", changes=['CMD ["echo", "made"]', "LABEL a=b"])
    assert (made.tags, made.labels) == (("made:1",), {"a": "b"})
    assert made.size_bytes > 1_000_000
    assert (await engine.run("made:1")).stdout == b"made\n"
    (tmp_path / "root.tar").write_bytes(archive)

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(archive), 100_000):
            yield archive[start : start + 100_000]

    from_file = await engine.images.import_(tmp_path / "root.tar")
    from_pieces = await engine.images.import_(in_pieces())
    await engine.images.tag("made:1", "registry.example:5000/made:2")
    assert (await engine.images.inspect("registry.example:5000/made:2")).id == made.id
    assert [image.id for image in await engine.images.list(filters={"label": ["a=b"]})] == [made.id]
    for name in ("made:1", "registry.example:5000/made:2", *{from_file.id, from_pieces.id}):
        await engine.images.remove(name)
    with pytest.raises(cais.NotFound, match="No such image: made:1"):
        await engine.images.inspect("made:1")
    with pytest.raises(cais.InvalidArgument, match="cannot open"):
        await engine.images.load(tmp_path / "absent")
    with pytest.raises(cais.CaisError):
        await engine.images.load(b"no archive at all" * 1000)


async def test_an_archive_of_images_is_loaded(engine: cais.Engine) -> None:
    loaded = await engine.images.load(saved("loaded:1"))
    assert [image.tags for image in loaded] == [("loaded:1",)]
    assert (await engine.images.inspect(loaded[0].id)).tags == ("loaded:1",)
    await engine.images.remove("loaded:1")


async def test_what_happens_is_told(engine: cais.Engine) -> None:
    before = datetime.now(UTC)
    happened = engine.events(filters={"type": ["container"], "event": ["start", "die", "destroy"]})
    listening = asyncio.create_task(_actions(happened, 3))
    await asyncio.sleep(0.1)
    await engine.run("busybox", ["true"], name="told")
    assert await listening == [("start", "told"), ("die", "told"), ("destroy", "told")]
    later = engine.events(since=before, until=datetime.now(UTC), filters={"container": ["told"]})
    assert (await anext(later)).action == "create"
    await later.aclose()


async def _actions(events: AsyncIterator[cais.Event], count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async for event in events:
        found.append((event.action, event.attributes["name"]))
        if len(found) == count:
            break
    return found


async def test_the_engine_says_what_it_is(engine: cais.Engine) -> None:
    version, info = await engine.version(), await engine.info()
    assert (version.version, version.api_version) == (cais.__version__, "1.51")
    assert (info.containers, info.containers_running) == (0, 0)
    assert info.images >= 1
    assert info.data_root == str(Path(engine.url.removeprefix("unix://")).parent.parent / "data")


def test_the_blocking_call_has_the_same_options(own: Folders) -> None:
    """In a process of its own, which keeps the engine open until its end."""
    done = own.python(
        "import cais\n"
        "script = 'cat; echo $A; exit 2'\n"
        "print(cais.run('cais.local/busybox', ['sh', '-c', script], input=b'in', env={'A': 'b'}, user='7'))\n"
        "try:\n    cais.run('cais.local/busybox', ['false'], check=True)\n"
        "except cais.CommandFailed as error:\n    print(error.result.exit_code)\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Result(exit_code=2, stdout=b'inb\\n', stderr=b'')\n1\n"
