"""The runtime without an engine: a container's start, its surroundings, and its end."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import Exited, Oom
from tests.harness import host
from tests.harness.runtime import (
    ALL_CAPABILITIES,
    Client,
    Lab,
    bind,
    environment,
    eventually,
    mount,
    process,
    shell,
    text_of,
)


def status(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


# Beginning and end


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
async def test_the_exit_code_is_the_process_s(lab: Lab, code: int) -> None:
    container = await lab.start(shell(f"exit {code}"))
    assert await container.exit_code() == code
    assert isinstance(container.events[-1], Exited)
    assert container.events[-1].finished_at_ns >= container.monitor.started_at_ns


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV])
async def test_the_exit_code_of_a_signal_is_128_and_its_number(lab: Lab, number: int) -> None:
    # The first process of a PID namespace ignores from inside, and takes from outside, what it has no handler for
    # only where the signal cannot be ignored, so a child ends by the others and is the container's process.
    container = await lab.start(shell(f"trap 'exit {128 + number}' {number}; echo ready; while :; do sleep 0.1; done"))
    await _until_logged(container, "ready\n")
    await container.monitor.signal(number)
    assert await container.exit_code() == 128 + number


async def _until_logged(container: Any, text: str) -> None:
    for _ in range(500):
        if any(text in line for _, line in container.logged()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{text!r} was never logged: {container.logged()}")


async def test_the_first_process_has_pid_1_and_the_host_knows_it_by_another(lab: Lab) -> None:
    container = await lab.start(shell("echo $$; exec sleep 100"))
    await _until_logged(container, "1\n")
    await eventually(lambda: host.command_line(container.monitor.pid) == "sleep 100")
    assert container.monitor_pid != os.getpid()


@pytest.mark.parametrize(
    ("args", "reason", "text"),
    [
        (["nope"], Reason.NOT_FOUND, 'exec: "nope": executable file not found in $PATH'),
        ([""], Reason.NOT_FOUND, 'exec: "": executable file not found in $PATH'),
        (["/nope"], Reason.NOT_FOUND, 'exec: "/nope": stat /nope: no such file or directory'),
        (["/etc/passwd"], Reason.NOT_EXECUTABLE, 'exec: "/etc/passwd": permission denied'),
        (["/etc"], Reason.NOT_EXECUTABLE, 'exec: "/etc": is a directory'),
        (["/etc/passwd/x"], Reason.NOT_EXECUTABLE, 'exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory'),
    ],
)
async def test_a_command_that_cannot_be_executed_is_told_in_docker_s_words(
    lab: Lab, args: list[str], reason: Reason, text: str
) -> None:
    with pytest.raises(StartFailed) as caught:
        await lab.start(args)
    assert (caught.value.reason, caught.value.message) == (reason, text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"user": "nobody-here"}, "unable to find user nobody-here: no matching entries in passwd file"),
        ({"user": "root:no-group"}, "unable to find group no-group: no matching entries in group file"),
        ({"user": "4294967296"}, "uids and gids must be in range 0-2147483647"),
        ({"user": "-1"}, "uids and gids must be in range 0-2147483647"),
        ({"cwd": "/etc/passwd"}, "Cannot mkdir: /etc/passwd is not a directory"),
        ({"cwd": "/proc/nope"}, "mkdir /proc/nope: no such file or directory"),
        ({"rlimits": [{"type": "RLIMIT_NOPE", "soft": 1, "hard": 1}]}, "resource limit RLIMIT_NOPE is not known here"),
        ({"oomScoreAdj": -1001}, "set oom_score_adj to -1001: Invalid argument"),
    ],
)
async def test_a_process_that_cannot_be_had_is_told_and_leaves_nothing(
    lab: Lab, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(StartFailed) as caught:
        await lab.start(process(["true"], **changes))
    assert (caught.value.reason, caught.value.message) == (Reason.INVALID, text)


async def test_after_a_failed_start_the_same_container_can_start(lab: Lab) -> None:
    for _ in range(3):
        with pytest.raises(StartFailed):
            await lab.start(["nope"], name="again")
    for _ in range(3):
        container = await lab.start(["true"], name="again")
        assert await container.exit_code() == 0


async def test_a_bundle_without_a_config_is_an_error(lab: Lab) -> None:
    container, request = lab.prepare(["true"])
    for content in (b"{", b"", b"[]", b'{"process": 5}'):
        (container.bundle / "config.json").write_bytes(content)
        with pytest.raises(StartFailed):
            await lab.launch(container, request)
    (container.bundle / "config.json").unlink()
    with pytest.raises(StartFailed):
        await lab.launch(container, request)


async def test_a_group_that_another_container_uses_is_left_alone(lab: Lab) -> None:
    first = await lab.start(["sleep", "100"], name="twice")
    container, request = lab.prepare(["true"], name="other", linux={"cgroupsPath": first.group})
    with pytest.raises(StartFailed, match="in use"):
        await lab.launch(container, request)
    assert await first.monitor.pids() == [first.monitor.pid]


async def test_a_broken_program_says_so_itself_and_ends_with_255(lab: Lab, tmp_path: Path) -> None:
    for name, content in (("format", b"\x7fELFxxx"), ("script", b"#!/no/interpreter\n")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)
    code, output = await lab.run(["/format"], lower=[tmp_path])
    assert (code, output) == (255, "exec /format: exec format error\n")
    code, output = await lab.run(["/script"], lower=[tmp_path])
    assert (code, output) == (255, "exec /script: no such file or directory\n")


# Surroundings


async def test_a_missing_working_folder_is_made(lab: Lab) -> None:
    assert await lab.output("pwd; stat -c '%a %u' .", default_mounts=[]) == "/\n755 0"
    code, output = await lab.run(shell("pwd; stat -c '%a %u' .", cwd="/a/b/c"))
    assert (code, output) == (0, "/a/b/c\n755 0\n")


async def test_a_working_folder_that_only_root_can_enter_is_entered_for_any_user(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0o700)
    code, output = await lab.run(process(["pwd"], user="1000", cwd="/secret"), lower=[tmp_path])
    assert (code, output) == (0, "/secret\n")


@pytest.mark.parametrize("aim", ["/run/stub/resolv.conf", "../run/stub/resolv.conf"])
async def test_a_file_is_bound_where_a_link_of_the_image_that_leads_nowhere_points(
    lab: Lab, tmp_path: Path, aim: str
) -> None:
    (tmp_path / "image/etc").mkdir(parents=True)
    (tmp_path / "image/etc/resolv.conf").symlink_to(aim)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.11\n")
    mounts = [bind(tmp_path / "resolv.conf", "/etc/resolv.conf")]
    script = "cat /etc/resolv.conf /run/stub/resolv.conf"
    assert await lab.output(script, lower=[tmp_path / "image"], mounts=mounts) == "\n".join(
        ["nameserver 127.0.0.11"] * 2
    )


async def test_a_read_only_root_takes_nothing_and_its_mounts_do(lab: Lab) -> None:
    script = "touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo taken"
    assert await lab.output(script, readonly=True) == "refused\ntaken"


async def test_user_groups_and_home_are_those_of_the_image(lab: Lab) -> None:
    for user, expected in (
        ("", "0 0 0 /root"),
        ("daemon", "1 1 1 50 /usr/sbin"),
        ("nobody", "65534 65534 65534 /home"),
        ("1:staff", "1 50 50 /usr/sbin"),
        ("1234:5678", "1234 5678 5678 /"),
    ):
        code, output = await lab.run(shell("echo $(id -u) $(id -g) $(id -G) $HOME", user=user))
        assert (code, output.strip()) == (0, expected)


async def test_the_environment_is_what_was_asked_for(lab: Lab) -> None:
    env = ["PATH=/bin", "A=1", "A=2", "EMPTY=", "BARE", "=x", "EQUALS=a=b", "HOME=/h", "BYTES=\udcff"]
    container = await lab.start(process(["sleep", "100"], env=env))
    await eventually(lambda: host.command_line(container.monitor.pid) == "sleep 100")
    assert environment(container.monitor.pid) == {
        b"PATH": b"/bin", b"A": b"2", b"EMPTY": b"", b"BARE": b"", b"EQUALS": b"a=b", b"HOME": b"/h",
        b"BYTES": b"\xff",
    }  # fmt: skip


async def test_rights_are_those_of_the_config(lab: Lab) -> None:
    code, output = await lab.run(["cat", "/proc/self/status"])
    found = status(output)
    assert code == 0
    assert found["CapPrm"] == found["CapEff"] == found["CapBnd"] == "00000000a80425fb"
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    assert found["NoNewPrivs"] == "0"
    assert found["Umask"] == "0022"
    assert int(found["SigIgn"], 16) == int(found["SigBlk"], 16) == int(found["SigCgt"], 16) == 0


async def test_an_ordinary_user_has_no_effective_rights(lab: Lab) -> None:
    code, output = await lab.run(process(["cat", "/proc/self/status"], user="1000", noNewPrivileges=True))
    found = status(output)
    assert code == 0
    assert all(int(found[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"))
    assert found["CapBnd"] == "00000000a80425fb"
    assert found["NoNewPrivs"] == "1"


async def test_ambient_rights_reach_an_ordinary_user_when_asked_for(lab: Lab) -> None:
    sets = {kind: ["CAP_NET_BIND_SERVICE"] for kind in ("bounding", "permitted", "inheritable", "ambient")}
    code, output = await lab.run(process(["cat", "/proc/self/status"], user="1000") | {"capabilities": sets})
    found = status(output)
    assert code == 0
    assert {found[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd")} == {f"{1 << 10:016x}"}


async def test_only_the_standard_streams_are_open(lab: Lab) -> None:
    # ls itself opens the folder: that is 3
    assert await lab.output("ls /proc/self/fd") == "0\n1\n2\n3"
    assert await lab.output("readlink /proc/self/fd/0") == "/dev/null"


async def test_limits_and_the_oom_score_are_set(lab: Lab) -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    command = shell("ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj", rlimits=limits, oomScoreAdj=777)
    code, output = await lab.run(command)
    assert (code, output.split()) == (0, ["5", "6", "0", "777"])


async def test_streams_belong_to_the_user_so_that_it_may_open_them_again(lab: Lab) -> None:
    code, output = await lab.run(shell("echo again > /dev/stdout; echo too > /dev/stderr", user="1000"))
    assert (code, sorted(output.split())) == (0, ["again", "too"])


async def test_namespaces_are_the_container_s_own(lab: Lab) -> None:
    names = ("mnt", "net", "uts", "pid", "ipc")
    output = await lab.output("for n in mnt net uts pid ipc; do readlink /proc/self/ns/$n; done; hostname")
    *inside, hostname = output.splitlines()
    assert not set(inside) & {os.readlink(f"/proc/self/ns/{name}") for name in names}
    assert hostname == "box"
    assert await lab.output("ip -o link | wc -l; ip -o link show lo | grep -c LOWER_UP") == "1\n1"


async def test_namespaces_can_be_left_to_the_host_or_be_another_container_s(lab: Lab) -> None:
    other = await lab.start(["sleep", "100"])
    namespaces = [
        {"type": "mount"},
        {"type": "uts"},
        {"type": "pid", "path": f"/proc/{other.monitor.pid}/ns/pid"},
        {"type": "ipc", "path": f"/proc/{other.monitor.pid}/ns/ipc"},
    ]
    container = await lab.start(shell("ps -o pid,args; exec sleep 100"), linux={"namespaces": namespaces})
    await _until_logged(container, "ps -o")
    text = "".join(line for _, line in container.logged())
    assert "1 sleep 100" in text
    ours, theirs = (f"/proc/{each.monitor.pid}/ns" for each in (container, other))
    assert os.readlink(f"{ours}/pid") == os.readlink(f"{theirs}/pid")
    assert os.readlink(f"{ours}/ipc") == os.readlink(f"{theirs}/ipc")
    assert os.readlink(f"{ours}/net") == os.readlink("/proc/self/ns/net")
    assert os.readlink(f"{ours}/uts") != os.readlink(f"{theirs}/uts")
    await container.kill()
    assert await other.monitor.pids() == [other.monitor.pid]


async def test_in_the_host_s_pid_namespace_the_end_of_the_first_process_ends_the_others(lab: Lab) -> None:
    namespaces = [{"type": kind} for kind in ("mount", "network", "uts", "ipc")]
    script = "sleep 1000 & setsid sleep 1000 & echo ready; read x; exit 5"
    client = Client(stdin=True)
    container = await lab.start(shell(script), linux={"namespaces": namespaces}, open_stdin=True, clients=[client])
    await container.exec(["sleep", "1000"], exec_id="e")
    await _until_logged(container, "ready")
    pids = await container.monitor.pids()
    assert len(pids) == 4
    await client.send(b"go\n")
    assert await container.exit_code() == 5
    assert await container.exec_exit_code("e") == 137
    assert not any(host.alive(pid) for pid in pids)
    client.close()


# Mounts


async def test_files_and_folders_are_bound(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_text("in the folder\n")
    (tmp_path / "file").write_text("the file\n")
    mounts = [bind(tmp_path / "folder", "/a/b"), bind(tmp_path / "file", "/c/d")]
    script = "cat /a/b/file /c/d; echo new > /a/b/new; echo changed > /c/d"
    assert await lab.output(script, mounts=mounts) == "in the folder\nthe file"
    assert (tmp_path / "folder/new").read_text() == "new\n"
    assert (tmp_path / "file").read_text() == "changed\n"


async def test_read_only_goes_all_the_way_down_and_stays_inside(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "source/below").mkdir(parents=True)
    script = (
        "mount -t tmpfs none /source/below && touch /source/below/there && echo mounted; "
        "touch /ro/x 2>/dev/null || echo refused; "
        "mount --bind / /mnt && touch /mnt/source/y && echo written"
    )
    mounts = [bind(tmp_path / "source", "/source"), bind(tmp_path / "source", "/ro", "ro", "rro")]
    output = await lab.run(shell(f"mkdir -p /mnt; {script}", capabilities=ALL_CAPABILITIES), mounts=mounts)
    assert output == (0, "mounted\nrefused\nwritten\n")
    assert str(tmp_path) not in text_of("/proc/self/mountinfo")


async def test_a_mount_of_another_container_cannot_be_bound(lab: Lab) -> None:
    other = await lab.start(["sleep", "100"], mounts=[mount("/n", "tmpfs", "tmpfs")])
    with pytest.raises(StartFailed, match="mount /x"):
        await lab.start(["true"], mounts=[bind(f"/proc/{other.monitor.pid}/root/n", "/x")])


async def test_a_source_that_is_missing_is_named(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="mount /x: No such file or directory") as caught:
        await lab.start(["true"], mounts=[bind(tmp_path / "missing", "/x")])
    assert str(tmp_path / "missing") in caught.value.message


async def test_a_folder_over_a_file_is_refused(lab: Lab, tmp_path: Path) -> None:
    for source, target in ((tmp_path, "/etc/passwd"), (Path("/etc/hostname"), "/etc")):
        with pytest.raises(StartFailed, match=r"mount /etc.*: not a directory"):
            await lab.start(["true"], mounts=[bind(source, target)])


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/1/root"])
async def test_nothing_foreign_is_bound_over_proc(lab: Lab, tmp_path: Path, target: str) -> None:
    with pytest.raises(StartFailed, match="cannot be mounted because it is"):
        await lab.start(["true"], mounts=[bind(tmp_path, target)])


async def test_devices_are_made_and_may_be_used(lab: Lab) -> None:
    devices = [
        {"path": "/dev/deep/down/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o622, "uid": 5, "gid": 6}
    ]
    script = (
        "stat -c '%F %t:%T %a %u %g' /dev/deep/down/null; echo x > /dev/deep/down/null && head -c 3 /dev/zero | wc -c"
    )
    assert await lab.output(script, linux={"devices": devices}) == "character special file 1:3 622 5 6\n3"


async def test_devices_that_were_not_given_cannot_be_opened(lab: Lab) -> None:
    script = "mknod /disk b 254 0 && cat /disk; mknod /mem c 1 1 && cat /mem; true"
    output = await lab.output(script)
    assert output.count("Operation not permitted") == 2


async def test_sysctls_are_set_in_the_container_alone(lab: Lab) -> None:
    name = "net.ipv4.ip_unprivileged_port_start"
    path = "/proc/sys/" + name.replace(".", "/")
    before = text_of(path)
    assert await lab.output(f"cat {path}", linux={"sysctl": {name: "77"}}) == "77"
    assert text_of(path) == before


@pytest.mark.parametrize(
    "name", ["net.no.such", "net/../../sysrq-trigger", "net.ipv4..x", "", ".", "..", "../sysrq-trigger", "net."]
)
async def test_a_sysctl_that_is_none_is_refused(lab: Lab, name: str) -> None:
    with pytest.raises(StartFailed) as caught:
        await lab.start(["true"], linux={"sysctl": {name: "h"}})
    assert caught.value.reason is Reason.INVALID
    assert "sysctl" in caught.value.message


@pytest.mark.parametrize(
    ("name", "kinds", "reason"),
    [
        ("vm.swappiness", ["uts", "ipc", "network"], "is not in a separate kernel namespace"),
        ("kernel/core_pattern", ["uts", "ipc", "network"], "is not in a separate kernel namespace"),
        ("kernel.msgmax", ["uts", "network"], "is not allowed in the hosts ipc namespace"),
        ("net.core.somaxconn", ["uts", "ipc"], "not allowed in host network namespace"),
    ],
)
async def test_a_sysctl_of_the_host_is_neither_set_nor_ignored(
    lab: Lab, name: str, kinds: list[str], reason: str
) -> None:
    path = "/proc/sys/" + name.replace(".", "/")
    before = text_of(path)
    with pytest.raises(StartFailed) as caught:
        namespaces = [{"type": kind} for kind in ["mount", "pid", *kinds]]
        await lab.start(["true"], linux={"sysctl": {name: before}, "namespaces": namespaces})
    assert caught.value.message == f'sysctl "{name}" {reason}'
    assert text_of(path) == before


async def test_masked_paths_are_the_null_device_or_empty(lab: Lab) -> None:
    script = (
        "for p in /proc/keys /proc/timer_list /proc/interrupts; do stat -L -c '%t:%T' $p; wc -c < $p; done; "
        "for p in /proc/acpi /sys/firmware; do ls -A $p | wc -l; touch $p/x 2>/dev/null && echo written; done; true"
    )
    lines = (await lab.output(script)).split()
    assert lines == ["1:3", "0"] * 3 + ["0", "0"]


async def test_a_masked_path_that_is_a_link_hides_what_it_leads_to(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("/secret")
    assert await lab.output("cat /secret /link", lower=[tmp_path], linux={"maskedPaths": ["/link", "/none"]}) == ""


# Limits


@pytest.mark.parametrize(
    ("script", "exit_code", "signal"), [("exit 137", 137, 0), ("kill -USR1 $$; sleep 9", 138, 10), ("exit 3", 3, 0)]
)
async def test_an_end_by_a_signal_is_told_from_an_exit_code_like_it(
    lab: Lab, script: str, exit_code: int, signal: int
) -> None:
    # pid 1 of a PID namespace takes no signal from inside for which it has no handler
    container = await lab.start(shell(script), linux={"namespaces": [{"type": "mount"}]})
    end = await container.end()
    assert isinstance(end, Exited)
    assert (end.exit_code, end.signal, end.oom) == (exit_code, signal, None)


async def test_lack_of_memory_is_told(lab: Lab) -> None:
    resources = {"memory": {"limit": 20 << 20, "swap": 20 << 20}}
    container = await lab.start(shell("x=x; while :; do x=$x$x; done"), linux={"resources": resources})
    end = await container.end()
    assert isinstance(end, Exited)
    assert (end.exit_code, end.signal, end.oom_killed) == (137, 9, True)
    assert end.oom is not None
    assert (end.oom.limit_bytes, end.oom.kills) == (20 << 20, 1)
    assert 19 << 20 < end.oom.peak_bytes <= 20 << 20
    assert any(isinstance(event, Oom) for event in container.events)


async def test_a_child_that_is_killed_for_want_of_memory_is_told_too(lab: Lab) -> None:
    resources = {"memory": {"limit": 20 << 20, "swap": 20 << 20}}
    script = "sh -c 'x=x; while :; do x=$x$x; done'; echo $?; exec sleep 100"
    container = await lab.start(shell(script), linux={"resources": resources})
    await container.until(lambda: any(isinstance(event, Oom) for event in container.events))
    await _until_logged(container, "137\n")
    assert not any(isinstance(event, Exited) for event in container.events)


async def test_the_number_of_processes_is_limited(lab: Lab) -> None:
    container = await lab.start(
        shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; exec sleep 100"),
        linux={"resources": {"pids": {"limit": 10}}},
    )
    for _ in range(200):
        if len(await container.monitor.pids()) == 10:
            break
        await asyncio.sleep(0.01)
    with pytest.raises(StartFailed, match="Resource temporarily unavailable"):
        await container.exec(["true"])
    await container.kill()


async def test_a_paused_container_stands_still_and_goes_on(lab: Lab) -> None:
    container = await lab.start(shell("while :; do echo tick; sleep 0.02; done"))
    await _until_logged(container, "tick\n")
    await container.monitor.freeze()
    await asyncio.sleep(0.1)
    count = len(container.logged())
    await asyncio.sleep(0.2)
    assert len(container.logged()) == count
    await container.monitor.thaw()
    await asyncio.sleep(0.2)
    assert len(container.logged()) > count
