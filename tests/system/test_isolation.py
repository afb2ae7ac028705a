"""The default confinement, fact by fact, seen from inside a container, and how --privileged differs."""

import os
from pathlib import Path

import pytest

from tests.harness.engine import Daemon, Engine
from tests.harness.inside import mounts, probe, run

DEFAULT_CAPABILITIES = "00000000a80425fb"
NO_CAPABILITIES = "0000000000000000"
LIMITS_THAT_ARE_INHERITED = ("Max open files", "Max locked memory", "Max stack size", "Max core file size")

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}


def _status(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def _host_status() -> dict[str, str]:
    return _status(Path("/proc/self/status").read_text("ascii"))


@pytest.mark.parametrize("how", ["run", "exec"])
def test_root_has_docker_s_fourteen_capabilities_and_no_inheritable_or_ambient_ones(engine: Engine, how: str) -> None:
    status = _status(_in_container(engine, how, "cat /proc/self/status"))
    assert status["CapPrm"] == status["CapEff"] == status["CapBnd"] == DEFAULT_CAPABILITIES
    assert status["CapInh"] == status["CapAmb"] == NO_CAPABILITIES


@pytest.mark.parametrize("how", ["run", "exec"])
def test_an_ordinary_user_has_no_effective_capability(engine: Engine, how: str) -> None:
    status = _status(_in_container(engine, how, "cat /proc/self/status", "-u", "1000"))
    assert status["CapPrm"] == status["CapEff"] == status["CapInh"] == status["CapAmb"] == NO_CAPABILITIES
    assert status["CapBnd"] == DEFAULT_CAPABILITIES


def test_added_and_dropped_capabilities(engine: Engine) -> None:
    options = ["--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "net_bind_service"]
    status = _status(run(engine, "cat /proc/self/status", *options))
    assert status["CapPrm"] == status["CapEff"] == status["CapBnd"] == "0000000000000401"
    assert status["CapInh"] == status["CapAmb"] == NO_CAPABILITIES


@pytest.mark.parametrize("how", ["run", "exec"])
def test_the_system_calls_are_filtered(engine: Engine, how: str) -> None:
    assert _status(_in_container(engine, how, "cat /proc/self/status"))["Seccomp"] == "2"


def test_the_filter_can_be_left_out(engine: Engine) -> None:
    status = _status(run(engine, "cat /proc/self/status", "--security-opt", "seccomp=unconfined"))
    assert status["Seccomp"] == "0"


def test_new_privileges_can_be_forbidden(engine: Engine) -> None:
    assert _status(run(engine, "cat /proc/self/status"))["NoNewPrivs"] == "0"
    status = _status(run(engine, "cat /proc/self/status", "--security-opt", "no-new-privileges"))
    assert status["NoNewPrivs"] == "1"


def test_what_the_filter_refuses_and_allows(engine: Engine) -> None:
    # Numbers are those of <asm-generic/unistd.h> and of x86-64, by machine; flags those of <linux/sched.h>.
    code = """
machine = os.uname().machine
numbers = {
    "x86_64": {"keyctl": 250, "bpf": 321, "unshare": 272, "clone3": 435, "mount": 165, "ptrace": 101, "reboot": 169,
               "open_by_handle_at": 304, "init_module": 175, "userfaultfd": 323, "personality": 135, "newer": 467},
    "aarch64": {"keyctl": 219, "bpf": 280, "unshare": 97, "clone3": 435, "mount": 40, "ptrace": 117, "reboot": 142,
                "open_by_handle_at": 265, "init_module": 105, "userfaultfd": 282, "personality": 92, "newer": 900},
}[machine]
answers = {name: syscall(numbers[name], 0, 0, 0, 0, 0, 0) for name in
           ("keyctl", "bpf", "mount", "reboot", "open_by_handle_at", "init_module", "userfaultfd", "clone3")}
answers["unshare a user namespace"] = syscall(numbers["unshare"], 0x10000000)
answers["ptrace"] = syscall(numbers["ptrace"], 16, 999999)
for persona in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 0x0400000):
    answers[f"personality {persona:#x}"] = syscall(numbers["personality"], persona)
    syscall(numbers["personality"], 0)
def try_socket(family, kind=socket.SOCK_STREAM):
    try:
        socket.socket(family, kind).close()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
answers["AF_UNIX"] = try_socket(socket.AF_UNIX)
answers["AF_INET"] = try_socket(socket.AF_INET)
answers["AF_NETLINK"] = try_socket(socket.AF_NETLINK, socket.SOCK_RAW)
print(json.dumps(answers))
"""
    assert probe(engine, code) == {
        "keyctl": "EPERM",
        "bpf": "EPERM",
        "mount": "EPERM",
        "reboot": "EPERM",
        "open_by_handle_at": "EPERM",
        "init_module": "EPERM",
        "userfaultfd": "EPERM",
        "clone3": "ENOSYS",
        "unshare a user namespace": "EPERM",
        "ptrace": "ESRCH",
        "personality 0x0": "ok",
        "personality 0x8": "ok",
        "personality 0x20000": "ok",
        "personality 0x20008": "ok",
        "personality 0xffffffff": "ok",
        "personality 0x400000": "EPERM",
        "AF_UNIX": "ok",
        "AF_INET": "ok",
        "AF_NETLINK": "ok",
    }


def test_sockets_to_the_hypervisor_and_the_kernel_s_crypto_are_refused(caisd: Daemon) -> None:
    code = """
def try_socket(family, kind):
    try:
        socket.socket(family, kind).close()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
print(json.dumps([try_socket(socket.AF_VSOCK, socket.SOCK_STREAM), try_socket(socket.AF_ALG, socket.SOCK_SEQPACKET)]))
"""
    hypervisor, crypto = probe(caisd, code)
    assert hypervisor == "EPERM"
    assert crypto in {"EPERM", "EAFNOSUPPORT"}


def test_system_calls_newer_than_the_policy_are_told_to_be_absent(engine: Engine) -> None:
    """Not EPERM: a C library then falls back to the older call."""
    assert probe(engine, "print(json.dumps([syscall(number) for number in (500, 600, 1000)]))") == ["ENOSYS"] * 3


def test_a_granted_capability_opens_its_system_calls(engine: Engine) -> None:
    script = "mkdir /x; mount -t tmpfs none /x && unshare -u hostname inner && echo done"
    assert run(engine, script, "--cap-add", "SYS_ADMIN") == "done"


def test_the_namespaces_are_the_container_s_own(engine: Engine) -> None:
    script = "for n in mnt net uts pid ipc user; do readlink /proc/self/ns/$n; done"
    inside = dict(line.split(":") for line in run(engine, script).split())
    for name in ("mnt", "net", "uts", "pid", "ipc"):
        assert inside[name] != os.readlink(f"/proc/self/ns/{name}").partition(":")[2], name
    assert inside["user"] == os.readlink("/proc/self/ns/user").partition(":")[2]


def test_the_cgroup_namespace_is_private_where_cgroups_are_unified(engine: Engine) -> None:
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    inside = run(engine, "readlink /proc/self/ns/cgroup")
    assert (inside != os.readlink("/proc/self/ns/cgroup")) == unified


def test_processes_share_the_namespaces_of_their_container(engine: Engine) -> None:
    engine.docker_output("run", "-d", "--name", "one", "busybox", "sleep", "100")
    script = (
        "for n in mnt net uts pid ipc user cgroup; do readlink /proc/self/ns/$n; readlink /proc/1/ns/$n; done | uniq"
    )
    assert len(engine.docker_output("exec", "one", "sh", "-c", script).split()) == 7


def test_only_the_container_s_processes_are_seen(engine: Engine) -> None:
    assert run(engine, "echo $$; ls -d /proc/[0-9]* | wc -l").split()[0] == "1"
    assert int(run(engine, "ls -d /proc/[0-9]* | wc -l")) <= 3


def test_the_mounts_are_as_documented(engine: Engine) -> None:
    found = mounts(run(engine, "cat /proc/self/mountinfo"))
    assert found["/"].kind == "overlay"
    expected = {
        "/proc": ("proc", {"rw", "nosuid", "nodev", "noexec"}, set()),
        "/dev": ("tmpfs", {"rw", "nosuid"}, {"mode=755", "size=65536k"}),
        "/dev/pts": ("devpts", {"rw", "nosuid", "noexec"}, {"gid=5", "mode=620", "ptmxmode=666"}),
        "/sys": ("sysfs", {"ro", "nosuid", "nodev", "noexec"}, set()),
        "/dev/mqueue": ("mqueue", {"rw", "nosuid", "nodev", "noexec"}, set()),
        "/dev/shm": ("tmpfs", {"rw", "nosuid", "nodev", "noexec"}, {"size=65536k"}),
    }
    for path, (kind, options, super_options) in expected.items():
        mount = found[path]
        assert mount.kind == kind, path
        assert options <= mount.options, path
        assert super_options <= mount.super_options, path
    assert not {"noatime", "relatime"} & found["/dev"].options
    cgroups = [mount for mount in found.values() if mount.kind in {"cgroup", "cgroup2"}]
    assert cgroups
    for mount in cgroups:
        assert {"ro", "nosuid", "nodev", "noexec"} <= mount.options, mount.path


def test_nothing_of_the_host_is_mounted_but_the_container_s_own_files(engine: Engine) -> None:
    of_the_engine = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    pseudo = {"proc", "tmpfs", "devpts", "sysfs", "cgroup", "cgroup2", "mqueue", "overlay"}
    others = {
        path for path, mount in mounts(run(engine, "cat /proc/self/mountinfo")).items() if mount.kind not in pseudo
    }
    assert others <= of_the_engine | set(MASKED)


def test_mounts_made_inside_and_outside_do_not_reach_each_other(engine: Engine, tmp_path: Path) -> None:
    mounts_two = "mkdir /x && mount -t tmpfs inside /x && mount -t tmpfs inside /b && echo done"
    assert run(engine, mounts_two, "--privileged", "-v", f"{tmp_path}:/b") == "done"
    assert " - tmpfs inside " not in Path("/proc/self/mountinfo").read_text()
    propagation = run(engine, "grep -c -e shared: -e master: /proc/self/mountinfo; true")
    assert propagation == "0"


@pytest.mark.parametrize("path", MASKED)
def test_a_path_that_tells_of_the_host_is_masked(caisd: Daemon, path: str) -> None:
    if not os.path.exists(path):
        assert caisd.docker("run", "--rm", "busybox", "test", "-e", path).returncode == 1
    elif os.path.isdir(path):
        assert run(caisd, f"ls -A {path} | wc -l; touch {path}/x 2>/dev/null || echo refused").split() == [
            "0",
            "refused",
        ]
    else:
        assert run(caisd, f"wc -c < {path}; stat -L -c '%t %T' {path}").split("\n") == ["0", "1 3"]


def test_thermal_throttling_is_masked_for_every_processor(caisd: Daemon) -> None:
    there = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle"))
    for path in there:
        assert run(caisd, f"ls -A {path} | wc -l") == "0"
    assert run(caisd, "cat /sys/devices/system/cpu/cpu*/thermal_throttle/* 2>/dev/null | wc -c") == "0"


@pytest.mark.parametrize("path", READ_ONLY)
def test_a_path_that_rules_the_host_is_read_only(engine: Engine, path: str) -> None:
    if os.path.exists(path):
        assert "ro" in mounts(run(engine, "cat /proc/self/mountinfo"))[path].options


def test_sysctls_and_sysfs_cannot_be_written(engine: Engine) -> None:
    script = """
        cd /proc
        for path in sys/kernel/core_pattern sys/kernel/panic sysrq-trigger /sys/kernel/uevent_helper; do
            [ -e $path ] && (echo x > $path) 2>/dev/null && echo written $path
        done; true"""
    assert run(engine, script) == ""


def test_the_devices_are_the_documented_ones(engine: Engine) -> None:
    script = "cd /dev; for d in *; do [ -c $d ] && [ ! -L $d ] && stat -c '%n %t %T %a' $d; done"
    lines = [line.split() for line in run(engine, script).splitlines()]
    found = {name: (int(major, 16), int(minor, 16)) for name, major, minor, _ in lines}
    assert found == DEVICES
    assert {mode for *_, mode in lines} == {"666"}
    links = run(engine, "cd /dev; for d in *; do [ -L $d ] && echo $d $(readlink $d); done; true").splitlines()
    assert dict(line.split() for line in links) == {
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
        "ptmx": "pts/ptmx",
    }


def test_the_console_is_the_container_s_terminal(engine: Engine) -> None:
    engine.docker_output("run", "-d", "-t", "--name", "screen", "busybox", "sleep", "100")
    found = mounts(engine.docker_output("exec", "screen", "cat", "/proc/1/mountinfo"))
    assert found["/dev/console"].kind == "devpts"
    assert engine.docker_output("exec", "screen", "stat", "-c", "%t", "/dev/console") == "88"  # major 136, a pts
    assert engine.docker_output("exec", "screen", "readlink", "/proc/1/fd/0") == "/dev/pts/0"


def test_standard_streams_can_be_opened_anew_through_dev(engine: Engine) -> None:
    assert run(engine, "echo one >/dev/stdout; echo two >/dev/fd/1") == "one\ntwo"


def test_shared_memory_and_temporary_files_can_be_used_by_everyone(engine: Engine) -> None:
    assert run(engine, "stat -c %a /dev/shm /tmp; touch /dev/shm/x && echo ok", "-u", "1000").split() == [
        "1777",
        "1777",
        "ok",
    ]


def test_the_size_of_shared_memory_can_be_chosen(engine: Engine) -> None:
    assert run(engine, "df -k /dev/shm | awk 'END{print $2}'", "--shm-size", "8m") == "8192"


@pytest.mark.parametrize("how", ["run", "exec"])
def test_a_process_has_descriptors_0_to_2_alone(engine: Engine, how: str) -> None:
    # Descriptor 3 is the folder that ls itself reads.
    assert _in_container(engine, how, "exec ls /proc/self/fd").split() == ["0", "1", "2", "3"]
    assert _in_container(engine, how, "ls /proc/1/fd; true").split() == ["0", "1", "2"]


def test_resource_limits_are_those_of_the_daemon(caisd: Daemon) -> None:
    def limits(text: str) -> dict[str, list[str]]:
        lines = (line for line in text.splitlines()[1:])
        return {line[:25].strip(): line[25:].split()[:2] for line in lines}

    inside = limits(run(caisd, "cat /proc/self/limits"))
    daemon = limits(Path(f"/proc/{caisd.pid}/limits").read_text("ascii"))
    for name in LIMITS_THAT_ARE_INHERITED:
        assert inside[name] == daemon[name], name


def test_a_resource_limit_can_be_set(engine: Engine) -> None:
    assert run(engine, "ulimit -Sn; ulimit -Hn", "--ulimit", "nofile=100:200").split() == ["100", "200"]


def test_the_environment_holds_what_was_asked_for_alone(engine: Engine) -> None:
    environment = run(engine, "cat /proc/1/environ | tr '\\0' '\\n'; true", "-e", "A=b")
    names = {line.partition("=")[0] for line in environment.splitlines()}
    assert names == {"PATH", "HOSTNAME", "HOME", "A"}


def test_signals_begin_with_their_default_actions(engine: Engine) -> None:
    """A Python parent ignores SIGPIPE and SIGXFSZ: a container must not inherit that."""
    status = _status(run(engine, "exec cat /proc/self/status"))
    assert int(status["SigIgn"], 16) == 0
    assert int(status["SigBlk"], 16) == 0


def test_the_process_is_a_session_leader_with_an_ordinary_umask(engine: Engine) -> None:
    assert run(engine, "umask") == "0022"
    session, group = run(engine, "exec awk '{print $6, $5}' /proc/self/stat").split()
    assert (session, group) == ("1", "1")


def test_a_private_network_has_loopback_alone_and_its_own_sysctls(engine: Engine) -> None:
    script = "ls /sys/class/net; cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start"
    links, ping_groups, first_port = run(engine, script, "--network", "none").splitlines()
    assert links == "lo"
    assert ping_groups.split() == ["0", "2147483647"]
    assert first_port == "0"
    assert "127.0.0.1" in run(engine, "ip addr show lo", "--network", "none")
    assert run(engine, "ping -c 1 -W 2 127.0.0.1 >/dev/null && echo up", "--network", "none") == "up"


def test_the_host_s_network_can_be_shared(engine: Engine) -> None:
    inside = run(engine, "readlink /proc/self/ns/net; ls /sys/class/net", "--network", "host").splitlines()
    assert inside[0] == os.readlink("/proc/self/ns/net")
    assert sorted(inside[1:]) == sorted(os.listdir("/sys/class/net"))


def test_privileged_has_all_that_the_daemon_has(engine: Engine) -> None:
    status = _status(run(engine, "cat /proc/self/status", "--privileged"))
    host = _host_status()
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == host["CapBnd"]
    assert status["CapInh"] == status["CapAmb"] == NO_CAPABILITIES
    assert status["Seccomp"] == "0"


def test_privileged_masks_nothing_and_may_write_and_see_devices(engine: Engine) -> None:
    found = mounts(run(engine, "cat /proc/self/mountinfo", "--privileged"))
    assert not [path for path in found if path.startswith("/proc/")]
    assert "rw" in found["/sys"].options
    devices = set(run(engine, "ls /dev", "--privileged").split())
    assert {"kmsg", "mem"} & set(os.listdir("/dev")) <= devices
    assert run(engine, "mknod /d c 1 5; head -c 1 /d | wc -c", "--privileged") == "1"
    assert run(engine, "mkdir /x; mount -t tmpfs none /x && echo mounted", "--privileged") == "mounted"


def _in_container(engine: Engine, how: str, script: str, *options: str) -> str:
    """What a script prints as a container's first process, or by exec in one that runs."""
    if how == "run":
        return run(engine, script, *options)
    name = engine.docker_output("run", "-d", "busybox", "sleep", "100")
    return engine.docker_output("exec", *options, name, "sh", "-c", script)
