"""Which sysctls belong to a container: those of its own namespaces."""

import os

import pytest

from cais.runtime import spec, sysctls
from cais.runtime.errors import Reason, StartFailed

ALL = [{"type": kind} for kind in ("mount", "pid", "uts", "ipc", "network")]


def check(name: str, namespaces: list[dict[str, str]]) -> None:
    raw = {"process": {"args": ["true"], "cwd": "/"}, "linux": {"sysctl": {name: "1"}, "namespaces": namespaces}}
    sysctls.check(spec.parse(raw))


def without(kind: str) -> list[dict[str, str]]:
    return [item for item in ALL if item["type"] != kind]


@pytest.mark.parametrize(
    "name",
    [
        "net.ipv4.ip_forward", "net/ipv4/ip_forward", "net.ipv4.conf.eth0/1.forwarding", "kernel.msgmax", "kernel/sem",
        "kernel.shm_rmid_forced", "fs.mqueue.msg_max", "kernel.domainname", "kernel/domainname",
    ],
)  # fmt: skip
def test_what_is_of_a_namespace_may_be_set(name: str) -> None:
    check(name, ALL)


@pytest.mark.parametrize(
    ("name", "namespaces", "words"),
    [
        ("vm.swappiness", ALL, "is not in a separate kernel namespace"),
        ("vm/swappiness", ALL, "is not in a separate kernel namespace"),
        ("kernel.core_pattern", ALL, "is not in a separate kernel namespace"),
        ("kernel.msg_next_id", ALL, "is not in a separate kernel namespace"),
        ("fs.mqueue", ALL, "is not in a separate kernel namespace"),
        ("foo", ALL, "is not in a separate kernel namespace"),
        ("", ALL, "is not in a separate kernel namespace"),
        ("kernel.hostname", ALL, 'is not allowed as it conflicts with the OCI "hostname" field'),
        ("kernel.domainname", without("uts"), "is not in a separate kernel namespace"),
        ("kernel.hostname", without("uts"), "is not in a separate kernel namespace"),
        ("kernel.msgmax", without("ipc"), "is not allowed in the hosts ipc namespace"),
        ("fs.mqueue.msg_max", without("ipc"), "is not allowed in the hosts ipc namespace"),
        ("net.core.somaxconn", without("network"), "not allowed in host network namespace"),
    ],
)
def test_what_is_the_host_s_may_not(name: str, namespaces: list[dict[str, str]], words: str) -> None:
    with pytest.raises(StartFailed) as caught:
        check(name, namespaces)
    assert caught.value.reason is Reason.INVALID
    assert caught.value.message == f'sysctl "{name}" {words}'


def test_a_namespace_that_is_joined_and_the_host_s_all_the_same_is_noticed() -> None:
    joined = {"type": "network", "path": f"/proc/{os.getpid()}/ns/net"}
    with pytest.raises(StartFailed, match="not allowed in host network namespace"):
        check("net.core.somaxconn", [*without("network"), joined])
