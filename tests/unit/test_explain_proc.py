"""What /proc says, parsed."""

import os
import resource

import pytest

from cais.engine import explain_proc as proc
from cais.engine.explain_models import Interface

ROUTE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
DEV = """Inter-|   Receive  |  Transmit
 face |bytes    packets errs|bytes    packets errs
    lo:       0       0    0        0       0    0
  eth0:      10       1    0        0       0    0
"""
FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 192.0.2.2
        /32 host LOCAL
Local:
     |-- 192.0.2.2
        /32 host LOCAL
"""
IF_INET6 = """00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000002 02 40 00 80     eth0
"""


def test_interfaces_have_their_addresses_of_both_versions() -> None:
    assert proc.parse_interfaces(DEV, FIB_TRIE, ROUTE, IF_INET6) == [
        Interface(name="lo", addresses=["127.0.0.1/8", "::1/128"]),
        Interface(name="eth0", addresses=["192.0.2.2/24", "fd00::2/64"]),
    ]


def test_an_interface_without_address_is_there() -> None:
    assert proc.parse_interfaces(DEV, "", "", "") == [Interface(name="lo"), Interface(name="eth0")]


def test_mount_points_are_unescaped_and_options_are_the_mount_s_own() -> None:
    text = (
        "36 35 98:0 /mnt1 /a\\040b ro,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
        "37 36 0:5 / /proc rw,nosuid - proc proc rw\nnonsense\n"
    )
    first, second = proc.parse_mountinfo(text)
    assert (first.destination, first.type, first.source, first.root) == ("/a b", "ext3", "/dev/root", "/mnt1")
    assert first.options == ("ro", "noatime")
    assert (second.destination, second.options) == ("/proc", ("rw", "nosuid"))


def test_limits_are_those_that_the_kernel_has_for_this_process() -> None:
    limits = proc.parse_limits(proc.read(os.getpid(), "limits"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (limits["nofile"].soft, limits["nofile"].hard, limits["nofile"].unit) == (soft, hard, "")
    assert len(limits) == 16
    assert limits["stack"].unit == "bytes"
    unlimited = proc.parse_limits(
        "Limit  Soft  Hard  Units\nMax cpu time              unlimited            7   seconds\n"
    )
    assert (unlimited["cpu"].soft, unlimited["cpu"].hard) == (None, 7)


def test_capabilities_are_named_by_the_bits_of_their_mask() -> None:
    assert proc.capabilities("0000000000000421") == ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    assert proc.capabilities("0") == []


def test_this_process_is_described() -> None:
    own = proc.process(os.getpid())
    assert (own.pid, own.parent_pid, own.uid) == (os.getpid(), os.getppid(), os.geteuid())
    assert "python" in own.command
    assert own.memory_bytes > 1 << 20
    assert proc.open_files(os.getpid()) >= 3


@pytest.mark.parametrize(("pids", "level"), [("7", 0), ("7\t1", 1), ("7\t3\t1", 2)])
def test_the_level_of_a_pid_namespace_is_how_many_are_above(pids: str, level: int) -> None:
    assert proc.pid_level({"NSpid": pids}) == level


def test_every_kind_of_namespace_has_an_inode() -> None:
    inodes = proc.namespace_inodes("self")
    assert set(inodes) >= {"mount", "network", "pid", "ipc", "uts", "cgroup", "user"}
    assert inodes["network"] == os.stat("/proc/self/ns/net").st_ino
