"""What of the runtime may die, and what must hold then: caisd, a monitor, the spawner, all at once."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

import cais
from cais.runtime import cgroups
from cais.runtime.client import Runtime, bury, read_exit_record, sweep
from cais.runtime.errors import StartFailed
from cais.runtime.messages import Exited, Lost
from tests.harness import host
from tests.harness.runtime import Client, Container, Lab, eventually, shell


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def forsake(lab: Lab) -> None:
    """What the death of caisd is to the others: every connection ends."""
    for container in lab.containers:
        container.monitor.detach()
    await lab.runtime.close()
    lab.runtime = Runtime(lab.run_root)
    await lab.runtime.open()


async def adopt(lab: Lab, container: Container) -> bool:
    """Find a container again, as a caisd that was started anew does."""
    found = await lab.runtime.adopt(container.id, container.exit_file, container.on_event)
    if found:
        container.monitor = found
    return found is not None


async def test_a_container_outlives_caisd_and_is_found_again(lab: Lab) -> None:
    client = Client(stdin=True)
    container = await lab.start(shell("read a; echo $a; read b; exit 7"), open_stdin=True, clients=[client])
    await container.exec(["sleep", "1000"], exec_id="sleeping")
    await container.run(["true"], exec_id="ended")
    pid, started = container.monitor.pid, container.monitor.started_at_ns
    sleeping = max(await container.monitor.pids())
    await forsake(lab)
    await client.send(b"meanwhile\n")
    await client.read_until(b"meanwhile\n")
    assert await adopt(lab, container)
    monitor = container.monitor
    assert (monitor.pid, monitor.started_at_ns) == (pid, started)
    assert {(item.id, item.exit_code) for item in monitor.execs} == {("sleeping", None), ("ended", 0)}
    assert sleeping in {item.pid for item in monitor.execs}
    assert await container.run(["echo", "served"]) == (0, "served\n")
    await client.send(b"end\n")
    assert await container.exit_code() == 7
    assert container.logged() == [("stdout", "meanwhile\n")]
    client.close()


async def test_what_ended_while_there_was_no_caisd_is_recorded(lab: Lab) -> None:
    container = await lab.start(shell("sleep 0.3; echo last words; exit 9"))
    await forsake(lab)
    await eventually(lambda: read_exit_record(container.exit_file))
    assert not await adopt(lab, container)
    record = read_exit_record(container.exit_file)
    assert record is not None
    assert (record.exit_code, record.oom_killed, record.error, record.signal) == (9, False, "", 0)
    assert container.logged() == [("stdout", "last words\n")]
    container.events.append(record)


async def test_an_older_record_is_not_taken_for_a_new_one(lab: Lab) -> None:
    container = await lab.start(shell("exit 3"), name="again")
    assert await container.exit_code() == 3
    container = await lab.start(["sleep", "1000"], name="again")
    assert read_exit_record(container.exit_file) is None
    kill(container.monitor_pid)
    assert isinstance(await container.end(), Lost)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"{}", b'{"exit_code": 1'])
def test_a_record_that_is_not_whole_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "exit.json").write_bytes(content)
    assert read_exit_record(str(tmp_path / "exit.json")) is None
    assert read_exit_record(str(tmp_path / "missing/exit.json")) is None


STARTER = """
import asyncio, json, sys
from pathlib import Path
from cais.runtime.client import Runtime
from cais.runtime.messages import StartRequest

async def main():
    runtime = Runtime(Path(sys.argv[1]))
    await runtime.open()
    print("ready", flush=True)
    sys.stdin.readline()
    await runtime.start(StartRequest.from_json(json.loads(sys.argv[2])), [], lambda *_: None)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.parametrize("milliseconds", [0, 1, 3, 6, 10, 15, 20, 30, 50, 100])
async def test_caisd_that_is_killed_while_it_starts_a_container_leaves_one_or_none(lab: Lab, milliseconds: int) -> None:
    """The next one finds the socket, which is there before the monitor is told to start."""
    container, request = lab.prepare(["sleep", "1000"])
    pipe = asyncio.subprocess.PIPE
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(lab.run_root), json.dumps(request.to_json()), stdin=pipe, stdout=pipe,
        env={"PYTHONPATH": str(Path(cais.__file__).parents[1])},
    )  # fmt: skip
    assert starter.stdin
    assert starter.stdout
    assert await starter.stdout.readline() == b"ready\n"
    starter.stdin.write(b"\n")
    await asyncio.sleep(milliseconds / 1000)
    starter.kill()
    await starter.wait()
    if await adopt(lab, container):
        lab.containers.append(container)
        assert await container.run(["echo", "on"]) == (0, "on\n")
    else:
        await asyncio.to_thread(sweep, lab.run_root, lab.group, set())
        assert cgroups.open_hierarchy().children(lab.group) == set()


async def test_a_start_that_is_cancelled_leaves_no_container(lab: Lab) -> None:
    for delay in (0, 0.001, 0.005, 0.01, 0.02, 0.05):
        container, request = lab.prepare(["sleep", "1000"])
        starting = asyncio.create_task(lab.runtime.start(request, [], container.on_event))
        await asyncio.sleep(delay)
        starting.cancel()
        try:
            container.monitor = await starting
            lab.containers.append(container)  # it was quicker
        except asyncio.CancelledError:
            await eventually(lambda: not cgroups.open_hierarchy().children(lab.group) - {c.id for c in lab.containers})
            assert container.events == []


async def test_a_killed_monitor_ends_its_container_and_no_other(lab: Lab) -> None:
    one, other = await lab.start(shell("sleep 1000 & sleep 1000")), await lab.start(["sleep", "1000"])
    await one.exec(["sleep", "1000"])
    pids = await one.monitor.pids()
    kill(one.monitor_pid)
    end = await one.end()
    assert isinstance(end, Lost)
    assert abs(end.finished_at_ns - time.time_ns()) < 10e9
    await eventually(lambda: not any(map(host.alive, pids)))
    assert cgroups.open_hierarchy().children(lab.group) == {other.id}
    assert not (one.bundle / "monitor.sock").exists()
    with pytest.raises(StartFailed, match="is not running"):
        await one.exec(["true"])
    assert await other.run(["echo", "on"]) == (0, "on\n")
    again = await lab.start(["true"], name=one.id)
    assert await again.exit_code() == 0


async def test_a_monitor_that_was_killed_while_there_was_no_caisd_is_swept(lab: Lab) -> None:
    one, other = await lab.start(shell("sleep 1000 & sleep 1000")), await lab.start(["sleep", "1000"])
    pids = await one.monitor.pids()
    await forsake(lab)
    kill(one.monitor_pid)
    await eventually(lambda: host.parent(pids[0]) == 1)
    assert not await adopt(lab, one)
    assert await adopt(lab, other)
    await asyncio.to_thread(sweep, lab.run_root, lab.group, {other.id})
    await eventually(lambda: not any(map(host.alive, pids)))
    assert cgroups.open_hierarchy().children(lab.group) == {other.id}
    assert not one.bundle.exists()
    assert other.bundle.exists()
    one.events.append(Lost(0))


async def test_a_monitor_that_does_not_answer_is_not_waited_for_forever(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cais.runtime.client._HELLO_SECONDS", 0.2)
    container = await lab.start(["sleep", "1000"])
    monitor_pid = container.monitor_pid
    await forsake(lab)
    os.kill(monitor_pid, signal.SIGSTOP)
    before = host.open_files(os.getpid())
    for _ in range(8):  # more than its socket's queue
        assert not await adopt(lab, container)
    assert len(host.open_files(os.getpid())) == len(before)
    os.kill(monitor_pid, signal.SIGCONT)
    await eventually(lambda: _found(lab, container))
    await container.kill()


async def _found(lab: Lab, container: Container) -> bool:
    return await adopt(lab, container)


async def test_caisd_that_does_not_read_stops_no_container(lab: Lab) -> None:
    """A stopped caisd: its side of the connection fills up."""
    container = await lab.start(["sleep", "1000"])
    link = container.monitor._link
    assert link is not None
    asyncio.get_running_loop().remove_reader(link._channel.fileno())  # type: ignore[union-attr]
    connection = link._channel.socket  # type: ignore[union-attr]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for number in range(3000):
        link.send({"type": "pids", "seq": 100_000 + number})
        if number % 100 == 0:
            await asyncio.sleep(0)
    kill(container.monitor.pid)
    await eventually(lambda: read_exit_record(container.exit_file))
    asyncio.get_running_loop().add_reader(connection.fileno(), link.receive)
    assert await container.exit_code() == 137


async def test_a_monitor_that_does_not_read_does_not_stop_caisd(lab: Lab) -> None:
    container, other = await lab.start(["sleep", "1000"]), await lab.start(["sleep", "1000"])
    monitor_pid = container.monitor_pid
    os.kill(monitor_pid, signal.SIGSTOP)
    document = shell("exit 5", env=["A=" + "x" * 100_000] * 10)
    waiting = [asyncio.create_task(container.exec(document, exec_id=str(number))) for number in range(3)]
    assert await asyncio.wait_for(other.run(["echo", "on"]), 5) == (0, "on\n")
    os.kill(monitor_pid, signal.SIGCONT)
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert await container.run(["echo", "on"]) == (0, "on\n")


async def test_a_killed_spawner_is_replaced_by_the_next_start(lab: Lab) -> None:
    container = await lab.start(["sleep", "1000"])
    for _ in range(3):
        pid = lab.runtime.spawner_pid
        assert pid is not None
        kill(pid)
        assert await lab.run(["echo", "on"]) == (0, "on\n")
        assert lab.runtime.spawner_pid != pid
    assert await container.run(["echo", "on"]) == (0, "on\n")


async def test_a_spawner_killed_in_the_midst_of_many_starts_fails_none(lab: Lab) -> None:
    killed: set[int] = set()

    async def kill_each() -> None:
        while len(killed) < 4:
            await asyncio.sleep(0.1)
            pid = lab.runtime.spawner_pid
            if pid and pid not in killed:
                kill(pid)
                killed.add(pid)

    killing = asyncio.create_task(kill_each())
    number = 0
    while not killing.done():
        results = await asyncio.gather(*(lab.run(["echo", str(each)]) for each in range(number, number + 10)))
        assert results == [(0, f"{each}\n") for each in range(number, number + 10)]
        number += 10
    await killing


async def test_many_starts_at_once_use_one_spawner(lab: Lab) -> None:
    pid = lab.runtime.spawner_pid
    assert pid is not None
    others = set(host.children(os.getpid())) - {pid}  # a caisd of the session, say
    kill(pid)
    results = await asyncio.gather(*(lab.run(["echo", str(number)]) for number in range(20)))
    assert results == [(0, f"{number}\n") for number in range(20)]
    assert len([child for child in host.children(os.getpid()) if host.alive(child) and child not in others]) == 1


async def test_a_monitor_that_waits_may_be_killed(lab: Lab) -> None:
    pid = lab.runtime.spawner_pid
    assert pid is not None
    for _ in range(3):
        await eventually(lambda: [child for child in host.children(pid) if host.alive(child)])
        for child in filter(host.alive, host.children(pid)):
            kill(child)
        await eventually(lambda: not any(map(host.alive, host.children(pid))))
        assert await lab.run(["echo", "on"]) == (0, "on\n")


async def test_a_first_process_that_waits_may_be_killed(lab: Lab) -> None:
    pid = lab.runtime.spawner_pid
    assert pid is not None
    await eventually(lambda: host.descendants(pid)[1:])
    kill(host.descendants(pid)[-1])
    assert await lab.run(["echo", "on"]) == (0, "on\n")


async def test_everything_killed_at_once_is_swept(lab: Lab) -> None:
    containers = [await lab.start(shell("sleep 1000 & sleep 1000")) for _ in range(3)]
    pids = [pid for container in containers for pid in await container.monitor.pids()]
    for container in containers:
        container.monitor.detach()
    assert lab.runtime.spawner_pid is not None
    for pid in (lab.runtime.spawner_pid, *(container.monitor_pid for container in containers)):
        kill(pid)
    await asyncio.to_thread(sweep, lab.run_root, lab.group, set())
    await eventually(lambda: not any(map(host.alive, pids)))
    assert cgroups.open_hierarchy().children(lab.group) == set()
    assert list((lab.run_root / "containers").iterdir()) == []
    for container in containers:
        container.events.append(Lost(0))


async def test_an_exit_record_that_cannot_be_written_is_told_all_the_same(lab: Lab) -> None:
    container = await lab.start(shell("sleep 0.3; exit 4"))
    os.mkdir(container.exit_file + ".new")
    end = await container.end()
    assert isinstance(end, Exited)
    assert end.exit_code == 4
    os.rmdir(container.exit_file + ".new")


async def test_bury_is_content_with_nothing(lab: Lab) -> None:
    container, _ = lab.prepare(["true"])
    bury(str(container.bundle))
    (container.bundle / "config.json").write_text("{")
    bury(str(container.bundle))
    bury(str(container.bundle / "missing"))


async def test_a_run_folder_that_is_missing_is_a_clear_error(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path / "missing")
    with pytest.raises(StartFailed, match="start the spawner"):
        await runtime.open()
    await runtime.close()


async def test_200_containers_at_once(lab: Lab) -> None:
    results = await asyncio.gather(*(lab.run(shell(f"echo {number}; exit {number}")) for number in range(200)))
    assert results == [(number, f"{number}\n") for number in range(200)]
