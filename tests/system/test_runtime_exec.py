"""Further processes in a container that runs."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import Detached, ExecExited, ExecRequest, Exited
from tests.harness import host
from tests.harness.runtime import Client, Container, Lab, bind, eventually, process, shell, unframed


@pytest.fixture
async def container(lab: Lab) -> Container:
    """A container that does nothing."""
    return await lab.start(["sleep", "1000"])


@pytest.mark.parametrize("code", [0, 1, 42, 255])
async def test_the_exit_code_is_the_process_s(container: Container, code: int) -> None:
    assert await container.run(shell(f"echo done; exit {code}")) == (code, "done\n")


async def test_a_signal_s_exit_code_is_128_and_its_number(container: Container) -> None:
    assert await container.run(shell("kill -TERM $$")) == (143, "")


async def test_its_pid_is_that_of_the_host(container: Container) -> None:
    pid = await container.exec(["sleep", "100"], exec_id="e")
    await eventually(lambda: host.command_line(pid) == "sleep 100")
    assert sorted(await container.monitor.pids()) == sorted([container.monitor.pid, pid])
    os.kill(pid, signal.SIGKILL)
    assert await container.exec_exit_code("e") == 137


async def test_it_is_in_the_namespaces_and_groups_of_its_container(container: Container) -> None:
    script = (
        "for n in mnt net uts pid ipc cgroup; do ls -l /proc/self/ns/$n /proc/1/ns/$n | sed 's/.*-> //' | uniq; done"
    )
    _, output = await container.run(shell(script))
    assert len(output.splitlines()) == 6
    assert await container.run(shell("cmp /proc/self/cgroup /proc/1/cgroup && echo same")) == (0, "same\n")


async def test_environment_user_and_folder_are_its_own(container: Container) -> None:
    document = shell("echo $A; id; pwd; echo $HOME; umask", user="daemon", env=["PATH=/bin", "A=b"], cwd="/var")
    code, output = await container.run(document)
    expected = ["b", "uid=1(daemon) gid=1(daemon) groups=1(daemon),50(staff)", "/var", "/usr/sbin", "0022"]
    assert (code, output.splitlines()) == (0, expected)


async def test_its_rights_are_those_that_were_asked_for(container: Container) -> None:
    _, output = await container.run(process(["cat", "/proc/self/status"]))
    found = dict(line.split(":\t", 1) for line in output.splitlines() if line.startswith("Cap"))
    assert found["CapPrm"] == found["CapEff"] == found["CapBnd"] == "00000000a80425fb"
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    _, output = await container.run(process(["cat", "/proc/self/status"], capabilities=[], noNewPrivileges=True))
    found = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    assert found["CapBnd"] == f"{0:016x}"
    assert found["NoNewPrivs"] == "1"


async def test_a_folder_that_only_root_can_enter_is_entered_for_any_user(container: Container) -> None:
    await container.run(["chmod", "700", "/root"])
    assert await container.run(process(["pwd"], user="1000", cwd="/root")) == (0, "/root\n")


async def test_only_the_standard_streams_are_open(container: Container) -> None:
    assert await container.run(["ls", "/proc/self/fd"]) == (0, "0\n1\n2\n3\n")


@pytest.mark.parametrize(
    ("document", "reason", "text"),
    [
        (process(["nope"]), Reason.NOT_FOUND, 'exec: "nope": executable file not found in $PATH'),
        (process(["/etc/passwd"]), Reason.NOT_EXECUTABLE, 'exec: "/etc/passwd": permission denied'),
        (
            process(["pwd"], cwd="/nope"),
            Reason.NOT_EXECUTABLE,
            'chdir to cwd ("/nope") set in config.json failed: no such file or directory',
        ),
        (
            process(["pwd"], cwd="/etc/passwd"),
            Reason.NOT_EXECUTABLE,
            'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory',
        ),
        (
            process(["id"], user="nobody-here"),
            Reason.INVALID,
            "unable to find user nobody-here: no matching entries in passwd file",
        ),
        (process(["id"], user="-1"), Reason.INVALID, "uids and gids must be in range 0-2147483647"),
        (process(["id"], env=["A=\0"]), Reason.INVALID, None),
        (process([]), Reason.INVALID, None),
        ({}, Reason.INVALID, None),
        ({"args": 5, "cwd": []}, Reason.INVALID, None),
    ],
)
async def test_what_cannot_be_started_is_told_and_the_container_goes_on(
    container: Container, document: dict[str, Any], reason: Reason, text: str | None
) -> None:
    await container.monitor.pids()
    before = host.open_files(container.monitor_pid)
    for _ in range(3):
        client = Client()
        with pytest.raises(StartFailed) as caught:
            await container.exec(document, client=client)
        assert caught.value.reason is reason
        assert text is None or caught.value.message == text
        assert await client.read() == b""  # nobody holds the client's connection
        client.close()
    with pytest.raises(StartFailed):
        await container.exec(document | {"terminal": True})
    assert await container.run(["echo", "on"]) == (0, "on\n")
    await eventually(lambda: sorted(host.open_files(container.monitor_pid)) == sorted(before))
    assert host.children(container.monitor_pid) == [container.monitor.pid]


async def test_a_request_that_makes_no_sense_does_not_end_the_container(lab: Lab) -> None:
    container = await lab.start(process(["sleep", "1000"], terminal=True))
    monitor = container.monitor
    for message in (
        {"type": "nothing"},
        {"type": "resize", "rows": "x", "columns": None},
        {"type": "signal", "number": "KILL"},
        {"type": "signal", "number": 4711},
        {"type": "attach"},
        {"type": "attach", "options": {"stdin": True, "stdout": True, "stderr": True, "framed": True}},
        {"type": "exec", "request": 5},
        {"type": "exec", "request": {"id": "x", "process": {}}, "options": {}},
        {"type": "resize", "exec_id": "none", "rows": 1, "columns": 1},
    ):
        with pytest.raises(StartFailed):
            await monitor._call(message)
    assert await container.run(["echo", "on"]) == (0, "on\n")


async def test_many_at_once(lab: Lab) -> None:
    container = await lab.start(["sleep", "1000"])
    await container.monitor.pids()  # when it answers, it has opened all that it needs
    before = host.open_files(container.monitor_pid)
    results = await asyncio.gather(
        *(container.run(shell(f"echo {number}; exit {number % 200}")) for number in range(60))
    )
    assert results == [(number % 200, f"{number}\n") for number in range(60)]
    await eventually(lambda: sorted(host.open_files(container.monitor_pid)) == sorted(before))
    assert await container.monitor.pids() == [container.monitor.pid]


async def test_one_that_takes_long_to_start_stops_nothing_else(lab: Lab) -> None:
    """A program on a pipe-like file system may be looked up for as long as its server likes; here, in a frozen
    container, a process cannot start at all."""
    container = await lab.start(shell("while :; do echo tick; sleep 0.05; done"))
    await container.monitor.freeze()
    starting = asyncio.create_task(container.exec(["true"], exec_id="late"))
    await asyncio.sleep(0.2)
    assert not starting.done()
    assert await asyncio.wait_for(container.monitor.pids(), 5)
    await container.monitor.thaw()
    await asyncio.wait_for(starting, 10)
    assert await container.exec_exit_code("late") == 0


async def test_one_that_is_starting_when_the_container_ends_fails_or_ends_with_it(lab: Lab) -> None:
    container = await lab.start(["sleep", "1000"])
    await container.monitor.freeze()
    starting = asyncio.create_task(container.exec(["sleep", "1000"], exec_id="late"))
    await asyncio.sleep(0.2)
    await container.monitor.signal(signal.SIGKILL)
    await container.monitor.thaw()
    try:  # both go on at once
        await asyncio.wait_for(starting, 10)
    except StartFailed as error:
        assert "is not running" in error.message
    else:
        assert await container.exec_exit_code("late") == 137
    assert await container.exit_code() == 137


async def test_the_container_s_end_ends_them(container: Container) -> None:
    clients = [Client() for _ in range(3)]
    for number, client in enumerate(clients):
        await container.exec(shell("trap '' TERM; echo ready; sleep 1000"), client=client, exec_id=str(number))
        await client.read_until(b"ready\n")
    await container.monitor.signal(signal.SIGKILL)
    assert await container.exit_code() == 137
    for number, client in enumerate(clients):
        assert await container.exec_exit_code(str(number)) == 137
        assert await client.read() == b""
        client.close()
    assert isinstance(container.events[-1], Exited)


async def test_nothing_can_be_started_when_it_has_ended(container: Container) -> None:
    await container.kill()
    with pytest.raises(StartFailed, match=f"container {container.id} is not running") as caught:
        await container.exec(["true"])
    assert caught.value.reason is Reason.INVALID


async def test_a_process_in_the_background_does_not_keep_it_running(container: Container) -> None:
    assert await container.run(shell("sleep 1000 & echo started")) == (0, "started\n")
    assert await asyncio.wait_for(container.run(shell("yes & echo started")), 10) is not None
    await eventually(lambda: _pids_are(container, 2))


async def _pids_are(container: Container, count: int) -> bool:
    return len(await container.monitor.pids()) == count


async def test_input_output_and_errors(container: Container) -> None:
    client = Client(stdin=True, framed=True)
    await container.exec(shell("cat; echo error >&2"), client=client, exec_id="e")
    data = os.urandom(3_000_000)
    sending = asyncio.create_task(client.send(data))
    received = bytearray()
    while len(received) < len(data):
        received += await client.read()
    await sending
    client.end_input()
    received += await client.read_all()
    assert unframed(bytes(received)) == {1: data, 2: b"error\n"}
    assert await container.exec_exit_code("e") == 0
    client.close()


async def test_its_end_is_not_told_before_its_start(container: Container) -> None:
    for number in range(50):
        await container.exec(["true"], exec_id=str(number))
        assert not any(isinstance(event, ExecExited) and event.exec_id == str(number) for event in container.events)
        assert await container.exec_exit_code(str(number)) == 0


async def test_its_end_is_told_before_its_stream_ends(container: Container) -> None:
    for number in range(20):
        client = Client()
        await container.exec(["true"], client=client, exec_id=str(number))
        assert await client.read() == b""
        container.monitor.poll()
        assert any(isinstance(event, ExecExited) and event.exec_id == str(number) for event in container.events)
        client.close()


async def test_a_terminal(container: Container) -> None:
    client = Client(stdin=True, detach_keys=b"\x10\x11")
    await container.exec(
        shell("tty; stty size; read line; stty size; echo $line; exit 7", terminal=True, user="1000"),
        client=client,
        exec_id="t",
        terminal_size=(30, 100),
    )
    await client.read_until(b"30 100\r\n")
    await container.monitor.resize_exec("t", 40, 120)
    await client.send(b"hello\r")
    output = await client.read_all()
    assert output == b"hello\r\n40 120\r\nhello\r\n"
    assert await container.exec_exit_code("t") == 7
    client.close()


async def test_a_terminal_s_interrupt_reaches_the_process(container: Container) -> None:
    client = Client(stdin=True)
    await container.exec(
        shell("trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done", terminal=True),
        client=client,
        exec_id="t",
    )
    await client.read_until(b"ready\r\n")
    await client.send(b"\x03")
    assert b"caught" in await client.read_all()
    assert await container.exec_exit_code("t") == 9
    client.close()


async def test_a_terminal_is_one_of_the_container_s_own(container: Container) -> None:
    client = Client()
    await container.exec(
        shell("tty; ls /dev/pts; stat -c %u:%g $(tty); ps -o pid,tty", terminal=True, user="1000"),
        client=client,
        exec_id="t",
    )
    output = (await client.read_all()).decode()
    assert output.split()[:4] == ["/dev/pts/0", "0", "ptmx", "1000:5"]
    assert "136,0" in output  # it is the controlling terminal
    client.close()


async def test_detach_keys_are_told_and_it_goes_on(container: Container) -> None:
    client = Client(stdin=True, detach_keys=b"\x10\x11")
    pid = await container.exec(shell("echo ready; sleep 1000", terminal=True), client=client, exec_id="t")
    await client.read_until(b"ready")
    await client.send(b"\x10")
    await client.send(b"\x11")
    await client.read_all()
    assert Detached("t") in container.events
    assert host.alive(pid)
    client.close()


async def test_it_sees_the_mounts_of_its_container(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("shared\n")
    container = await lab.start(["sleep", "1000"], mounts=[bind(tmp_path, "/shared", "ro")])
    assert await container.run(["cat", "/shared/file"]) == (0, "shared\n")
    (tmp_path / "file").write_text("changed\n")
    assert await container.run(["cat", "/shared/file"]) == (0, "changed\n")


# Prepared before they are started


def joiners(container: Container) -> list[int]:
    """The processes that wait in the monitor's hands."""
    return [pid for pid in host.children(container.monitor_pid) if pid != container.monitor.pid and host.alive(pid)]


async def test_what_was_prepared_starts_as_if_it_had_not_been(container: Container) -> None:
    document = shell("tty; stty size; read x; echo $x; exit 3", terminal=True)
    container.monitor.prepare_exec(ExecRequest("e", document, open_stdin=True))
    await eventually(lambda: len(joiners(container)) == 1)
    assert await container.monitor.pids() == [container.monitor.pid]  # it is no process of the container yet
    client = Client(stdin=True)
    await container.exec(document, exec_id="e", client=client, terminal_size=(31, 101))
    await client.read_until(b"31 101\r\n")
    await client.send(b"typed\r")
    assert await client.read_all() == b"typed\r\ntyped\r\n"
    assert await container.exec_exit_code("e") == 3
    client.close()


async def test_what_was_prepared_in_vain_says_so_when_it_is_started(container: Container) -> None:
    document = process(["true"], user="nobody-here")
    container.monitor.prepare_exec(ExecRequest("e", document))
    await asyncio.sleep(0.1)
    assert joiners(container) == []
    with pytest.raises(StartFailed, match="unable to find user nobody-here"):
        await container.exec(document, exec_id="e")
    container.monitor.prepare_exec(ExecRequest("f", {}))
    with pytest.raises(StartFailed, match="the process is not valid"):
        await container.exec({}, exec_id="f")


async def test_what_was_prepared_and_is_not_wanted_is_forgotten(container: Container) -> None:
    await container.monitor.pids()
    before = host.open_files(container.monitor_pid)
    container.monitor.prepare_exec(ExecRequest("e", process(["true"])))
    await eventually(lambda: len(joiners(container)) == 1)
    container.monitor.forget_exec("e")
    container.monitor.forget_exec("never prepared")
    await eventually(lambda: joiners(container) == [])
    await eventually(lambda: sorted(host.open_files(container.monitor_pid)) == sorted(before))


async def test_what_is_started_just_when_it_is_forgotten_starts(container: Container) -> None:
    for number in range(20):
        container.monitor.prepare_exec(ExecRequest(str(number), process(["true"])))
        await asyncio.sleep(0.02 * (number % 2))
        container.monitor.forget_exec(str(number))
        await container.exec(["true"], exec_id=str(number))
        assert await container.exec_exit_code(str(number)) == 0


async def test_a_joiner_that_is_killed_while_it_waits_is_replaced(container: Container) -> None:
    for number in range(5):
        container.monitor.prepare_exec(ExecRequest(str(number), process(["true"])))
        await asyncio.sleep(0.05)  # that of the process before it is gone
        (waiting,) = joiners(container)
        os.kill(waiting, signal.SIGKILL)
        await eventually(lambda: joiners(container) == [])
        client = Client()
        await container.exec(shell("echo on"), exec_id=str(number), client=client)
        assert await client.read_all() == b"on\n"
        assert await container.exec_exit_code(str(number)) == 0
        client.close()


async def test_only_some_wait_at_once(container: Container) -> None:
    for number in range(50):
        container.monitor.prepare_exec(ExecRequest(str(number), shell(f"exit {number}")))
    await container.monitor.pids()
    assert 0 < len(joiners(container)) < 20
    for number in (0, 49):
        await container.exec(shell(f"exit {number}"), exec_id=str(number))
        assert await container.exec_exit_code(str(number)) == number
    await container.kill()


async def test_the_end_of_the_container_or_of_caisd_ends_those_that_wait(lab: Lab) -> None:
    ending, forsaken = await lab.start(["sleep", "1000"]), await lab.start(["sleep", "1000"])
    for container in (ending, forsaken):
        container.monitor.prepare_exec(ExecRequest("e", process(["true"])))
    await eventually(lambda: all(len(joiners(container)) == 1 for container in (ending, forsaken)))
    await ending.kill()
    forsaken.monitor.detach()
    await eventually(lambda: joiners(forsaken) == [])
    found = await lab.runtime.adopt(forsaken.id, forsaken.exit_file, forsaken.on_event)
    assert found is not None
    forsaken.monitor = found


# A spare one, for the next


async def spare(container: Container) -> int:
    """The joiner that waits for the next process; one has ended, whose joiner was in the control groups."""

    def waiting() -> list[int]:
        return [pid for pid in joiners(container) if f"/{container.id}\n" not in host.cgroup_of(pid)]

    await eventually(lambda: len(joiners(container)) == len(waiting()) == 1)
    return waiting()[0]


async def test_a_spare_serves_the_next_process_whatever_its_command_and_environment(container: Container) -> None:
    kind = {"user": "daemon", "cwd": "/var"}
    assert await container.run(process(["echo", "first"], **kind)) == (0, "first\n")
    waiting = await spare(container)
    assert await container.monitor.pids() == [container.monitor.pid]
    await eventually(lambda: "Uid:\t1\t1\t1\t1\n" in Path(f"/proc/{waiting}/status").read_text())  # without its rights
    document = shell("echo $A; id -u; pwd; cat /proc/self/cgroup", env=["PATH=/bin", "A=b"], **kind)
    code, output = await container.run(document)
    assert (code, output.splitlines()[:3]) == (0, ["b", "1", "/var"])
    await eventually(lambda: not host.alive(waiting))  # it was the one that did it
    assert await container.run(["cat", "/proc/1/cgroup"]) == (0, "\n".join(output.splitlines()[3:]) + "\n")


async def test_a_spare_tells_of_a_command_that_is_not_there(container: Container) -> None:
    await container.run(["true"])
    await spare(container)
    with pytest.raises(StartFailed, match=r'exec: "nothing": executable file not found in \$PATH') as caught:
        await container.run(["nothing"])
    assert caught.value.reason is Reason.NOT_FOUND


async def test_a_spare_stands_in_the_folder_that_is_there_now(container: Container) -> None:
    await container.run(["mkdir", "/w"])
    kind = process(["true"], cwd="/w")
    await container.run(kind)
    await spare(container)
    root = Path(f"/proc/{container.monitor.pid}/root")
    (root / "w").rename(root / "old")
    (root / "w").mkdir()
    await container.run(process(["touch", "new"], cwd="/w"))
    assert await container.run(["ls", "/w", "/old"]) == (0, "/old:\n\n/w:\nnew\n")


async def test_no_spare_waits_behind_a_filter_that_may_not_let_it(container: Container) -> None:
    await container.run(["true"], waits_inside=False)
    await asyncio.sleep(0.3)
    assert joiners(container) == []


async def test_a_spare_sees_what_changed_while_it_waited(container: Container) -> None:
    assert (await container.run(process(["id", "-u"], user="daemon")))[1] == "1\n"
    await spare(container)
    await container.run(["sed", "-i", "s/^daemon:x:1:/daemon:x:77:/", "/etc/passwd"])
    await spare(container)
    assert (await container.run(process(["id", "-u"], user="daemon")))[1] == "77\n"


async def test_a_spare_holds_nothing_of_the_container_s_streams(lab: Lab) -> None:
    client = Client(stdin=True)
    container = await lab.start(["cat"], clients=[client], open_stdin=True, stdin_once=True)
    await container.run(["true"])
    waiting = await spare(container)
    assert not {item for item in host.open_files(waiting) if item.endswith("-json.log") or "epoll" in item}
    await client.send(b"typed")
    client.end_input()
    assert await client.read_all() == b"typed"
    assert await container.exit_code() == 0
    await eventually(lambda: not host.alive(waiting))


async def test_a_spare_of_another_kind_makes_way(container: Container) -> None:
    await container.run(["true"])
    waiting = await spare(container)
    client = Client()
    await container.exec(shell("tty", terminal=True), exec_id="t", client=client)
    assert await client.read_all() == b"/dev/pts/0\r\n"
    client.close()
    await eventually(lambda: not host.alive(waiting))
    await spare(container)
    assert await container.run(["true"]) == (0, "")


async def test_a_spare_that_is_killed_is_not_missed(container: Container) -> None:
    await container.run(["true"])
    for _ in range(3):
        os.kill(await spare(container), signal.SIGKILL)
        assert await container.run(["echo", "on"]) == (0, "on\n")


async def test_a_spare_goes_when_nobody_comes(container: Container) -> None:
    await container.run(["true"])
    await spare(container)
    await eventually(lambda: joiners(container) == [])


async def test_thousands_of_them_leak_nothing(container: Container) -> None:
    await container.run(["true"])
    await eventually(lambda: joiners(container) == [])
    await container.monitor.pids()
    before = host.open_files(container.monitor_pid)
    memory = _memory(container.monitor_pid)
    for number in range(400):
        await container.exec(["true"], exec_id=str(number))
        await container.exec_exit_code(str(number))
    assert _memory(container.monitor_pid) - memory < 512 * 1024
    await eventually(lambda: sorted(host.open_files(container.monitor_pid)) == sorted(before))
    assert host.children(container.monitor_pid) == [container.monitor.pid]


def _memory(pid: int) -> int:
    """The bytes of memory that are a process's own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))
