"""Standard streams of real containers: logs, clients that come, go, and do not read, terminals."""

import asyncio
import hashlib
import json
import os
import resource
import time
from pathlib import Path

import pytest

from cais.linux import mount, namespaces
from cais.runtime.log import JsonFileLog
from cais.runtime.messages import Detached, Exited, LogTarget
from tests.harness import host
from tests.harness.runtime import Client, Lab, eventually, process, shell, unframed

MEBIBYTE = 1 << 20


async def test_every_line_is_logged_with_its_stream_and_in_order(lab: Lab) -> None:
    container = await lab.start(shell("echo one; echo two >&2; sleep 0.05; echo three; printf four"))
    assert await container.exit_code() == 0
    assert [text for _, text in container.logged() if text != "two\n"] == ["one\n", "three\n", "four"]
    assert ("stderr", "two\n") in container.logged()


async def test_200_000_lines_are_logged_completely(lab: Lab) -> None:
    container = await lab.start(shell("seq 1 200000"))
    assert await container.exit_code(60) == 0
    # The log is complete when the end is told
    assert [text for _, text in container.logged()] == [f"{number}\n" for number in range(1, 200_001)]


async def test_200_000_lines_reach_a_client_too(lab: Lab) -> None:
    client = Client(framed=True)
    container = await lab.start(shell("seq 1 200000; echo end >&2"), clients=[client])
    output = unframed(await client.read_all())
    assert output[1] == b"".join(b"%d\n" % number for number in range(1, 200_001))
    assert output[2] == b"end\n"
    assert await container.exit_code() == 0
    client.close()


@pytest.mark.parametrize("framed", [False, True])
async def test_binary_output_is_passed_on_byte_for_byte(lab: Lab, tmp_path: Path, framed: bool) -> None:
    data = os.urandom(3 * MEBIBYTE) + bytes(range(256)) * 100
    (tmp_path / "data").write_bytes(data)
    client = Client(framed=framed)
    container = await lab.start(["cat", "/data"], lower=[tmp_path], clients=[client])
    output = await client.read_all()
    assert (unframed(output)[1] if framed else output) == data
    assert await container.exit_code() == 0
    client.close()


async def test_logs_are_rotated_without_a_torn_or_lost_line(lab: Lab) -> None:
    container, request = lab.prepare(shell("seq 1 30000"), log=None)
    target = LogTarget(str(container.log_file), 64 * 1024, 100)
    container, request = lab.prepare(shell("seq 1 30000"), log=target, name=container.id)
    await lab.launch(container, request)
    assert await container.exit_code() == 0
    files = [Path(f"{target.path}.{number}") for number in range(99, 0, -1)] + [container.log_file]
    texts = []
    for path in files:
        if path.exists():
            assert path.stat().st_size < 65 * 1024
            texts += [json.loads(line)["log"] for line in path.read_text("utf-8").splitlines()]
    assert texts == [f"{number}\n" for number in range(1, 30_001)]


async def test_without_a_log_output_still_reaches_clients(lab: Lab) -> None:
    assert await lab.run(shell("echo hello"), log=None) == (0, "hello\n")


async def test_input_goes_to_the_process_and_its_end_too(lab: Lab) -> None:
    client = Client(stdin=True)
    container = await lab.start(["sha256sum"], open_stdin=True, stdin_once=True, clients=[client])
    data = os.urandom(2 * MEBIBYTE)
    await client.send(data)
    client.end_input()
    assert (await client.read_all()).split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert await container.exit_code() == 0
    client.close()


async def test_input_stays_open_for_the_next_client_unless_it_is_for_one(lab: Lab) -> None:
    first, second = Client(stdin=True), Client(stdin=True)
    container = await lab.start(shell("read a; read b; echo $a $b"), open_stdin=True, clients=[first])
    await first.send(b"one\n")
    first.end_input()
    await asyncio.sleep(0.1)
    await container.monitor.attach(second.attachment)
    second.hand_over()
    await second.send(b"two\n")
    assert await second.read_all() == b"one two\n"
    assert await first.read_all() == b"one two\n"
    first.close()
    second.close()


async def test_without_input_a_process_reads_the_null_device(lab: Lab) -> None:
    client = Client(stdin=True)
    container = await lab.start(shell("cat; echo end"), clients=[client])
    assert await client.read_all() == b"end\n"
    assert await container.exit_code() == 0
    client.close()


async def test_a_client_that_comes_late_gets_what_follows(lab: Lab) -> None:
    container = await lab.start(shell("echo early; read x; echo late"), open_stdin=True)
    await eventually(lambda: container.logged() == [("stdout", "early\n")])
    client = Client(stdin=True)
    await container.monitor.attach(client.attachment)
    client.hand_over()
    await client.send(b"\n")
    assert await client.read_all() == b"late\n"
    client.close()


async def test_clients_come_and_go_and_the_container_goes_on(lab: Lab) -> None:
    container = await lab.start(shell("while :; do echo tick; sleep 0.01; done"))
    await container.monitor.pids()  # when it answers, it has opened all that it needs
    before = host.open_files(container.monitor_pid)
    for _ in range(30):
        client = Client()
        await container.monitor.attach(client.attachment)
        client.hand_over()
        await client.read_until(b"tick\n")
        client.close()
    await eventually(lambda: sorted(host.open_files(container.monitor_pid)) == sorted(before))


async def test_a_stalled_client_stops_neither_container_nor_others(lab: Lab) -> None:
    stalled, reader = Client(), Client()
    started = time.monotonic()
    container = await lab.start(
        shell("yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 60000000"), clients=[stalled, reader]
    )
    monitor = container.monitor_pid
    size = 0
    peak = 0
    while piece := await reader.read():
        size += len(piece)
        if size % 50 == 0:
            peak = max(peak, _resident(monitor))
    assert size == 60_000_000
    assert time.monotonic() - started < 60
    assert peak < 80 * MEBIBYTE
    assert await container.exit_code(60) == 0
    output = await stalled.read_all()
    assert len(output) == size
    assert output == (b"0123456789abcdefghijklmnopqrstuvwxyz\n" * 1_700_000)[:size]
    stalled.close()
    reader.close()


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * resource.getpagesize()


async def test_the_end_is_told_before_the_clients_stream_ends(lab: Lab) -> None:
    for _ in range(10):
        client = Client()
        container = await lab.start(shell("echo x"), clients=[client])
        await client.read_all()
        container.monitor.poll()
        assert isinstance(container.events[-1], Exited)
        client.close()


async def test_no_event_comes_before_the_container_is_in_its_caller_s_hands(lab: Lab) -> None:
    for _ in range(20):
        container, request = lab.prepare(["true"])
        monitor = await lab.runtime.start(request, [], container.on_event)
        assert container.events == []
        container.monitor = monitor
        assert await container.exit_code() == 0


def test_a_full_disk_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    """On a real, small file system, mounted in a mount namespace of a child's own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mount.mount("", "/", None, mount.MS_PRIVATE | mount.MS_REC)
            mount.mount("tmpfs", str(tmp_path), "tmpfs", 0, "size=64k")
            log = JsonFileLog(LogTarget(str(tmp_path / "log"), 0, 1))
            for number in range(3000):
                log.write("stdout", b"line %d\n" % number)
            filled = [json.loads(line)["log"] for line in (tmp_path / "log").read_text("ascii").splitlines()]
            assert len(filled) < 3000
            assert filled == [f"line {number}\n" for number in range(len(filled))]
            (tmp_path / "ballast").unlink(missing_ok=True)
            os.truncate(tmp_path / "log", 0)
            log.write("stdout", b"after\n")
            log.close()
            last = (tmp_path / "log").read_text("ascii").splitlines()
            assert [json.loads(line)["log"] for line in last] == ["after\n"]
            os.write(writer, b"ok")
            status = 0
        except BaseException as error:  # noqa: BLE001  told to the test
            os.write(writer, repr(error).encode())
        finally:
            os._exit(status)
    os.close(writer)
    assert os.read(reader, 10_000) == b"ok"
    os.close(reader)
    os.waitpid(pid, 0)


# Terminals


async def test_a_terminal_has_a_size_echoes_and_is_the_console(lab: Lab) -> None:
    client = Client(stdin=True)
    script = "tty; stty size; stat -c '%t:%T' /dev/console; read line; stty size; echo got $line"
    container = await lab.start(shell(script, terminal=True), clients=[client], terminal_size=(25, 90))
    output = await client.read_until(b"88:0\r\n")
    assert output == b"/dev/pts/0\r\n25 90\r\n88:0\r\n"
    await container.monitor.resize(50, 200)
    await client.send(b"hello\r")
    assert await client.read_all() == b"hello\r\n50 200\r\ngot hello\r\n"
    assert await container.exit_code() == 0
    assert ("stdout", "got hello\r\n") in container.logged()
    client.close()


async def test_a_change_of_size_is_signalled(lab: Lab) -> None:
    client = Client(stdin=True)
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    container = await lab.start(shell(script, terminal=True), clients=[client])
    await client.read_until(b"ready\r\n")
    await container.monitor.resize(33, 44)
    assert await client.read_all() == b"33 44\r\n"
    client.close()


async def test_a_terminal_belongs_to_the_user(lab: Lab) -> None:
    script = "stat -c '%u:%g %a' $(tty); echo to the terminal > $(tty)"
    code, output = await lab.run(shell(script, terminal=True, user="1000"))
    assert (code, output) == (0, "1000:5 620\r\nto the terminal\r\n")


async def test_detach_keys_leave_a_container_that_can_be_attached_again(lab: Lab) -> None:
    client = Client(stdin=True, detach_keys=b"\x10\x11")
    container = await lab.start(shell("echo ready; read x; echo $x", terminal=True), clients=[client])
    await client.read_until(b"ready\r\n")
    await client.send(b"\x10\x11")
    assert await client.read_all() == b""
    assert Detached(None) in container.events
    again = Client(stdin=True)
    await container.monitor.attach(again.attachment)
    again.hand_over()
    await again.send(b"back\r")
    assert await again.read_all() == b"back\r\nback\r\n"
    assert await container.exit_code() == 0
    client.close()
    again.close()


async def test_a_first_process_that_opens_its_console_again_is_not_hung_up(lab: Lab) -> None:
    script = "exec 0<&- 1>&- 2>&-; sleep 0.3; exec >/dev/console 2>&1 </dev/console; echo again; read x; echo $x"
    client = Client(stdin=True)
    container = await lab.start(shell(script, terminal=True), clients=[client])
    await asyncio.sleep(0.6)
    await client.send(b"typed\r")
    assert b"again\r\n" in await client.read_all()
    assert await container.exit_code() == 0
    client.close()


async def test_a_terminal_without_a_devpts_is_refused(lab: Lab) -> None:
    with pytest.raises(Exception, match="no devpts is mounted"):
        await lab.start(process(["true"], terminal=True), default_mounts=[])
