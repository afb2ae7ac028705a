"""The OCI runtime config, read into frozen data."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.linux.namespaces import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID
from cais.runtime import spec
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import Outline, RootFilesystem, StartRequest
from cais.runtime.spec import Device, Mount, Rlimit


def process(**members: Any) -> dict[str, Any]:
    return {"args": ["sh", "-c", "true"], "cwd": "/", **members}


def config(**members: Any) -> dict[str, Any]:
    return {"ociVersion": "1.2.0", "process": process(), **members}


def test_the_least_config_has_no_rights_and_no_namespaces() -> None:
    parsed = spec.parse(config())
    assert parsed.process.args == ("sh", "-c", "true")
    assert parsed.process.user == "0:0"
    assert parsed.process.umask == 0o022
    assert set(parsed.process.capabilities.values()) == {frozenset()}
    assert not parsed.process.terminal
    assert not parsed.process.no_new_privileges
    assert parsed.process.oom_score_adj is None
    assert not parsed.readonly_root
    assert not (parsed.mounts or parsed.namespaces or parsed.masked_paths or parsed.devices)
    assert parsed.new_namespaces() == 0


def test_every_member_is_read() -> None:
    parsed = spec.parse(
        config(
            hostname="box",
            domainname="example",
            root={"path": "rootfs", "readonly": True},
            process=process(
                env=["A=b"],
                terminal=True,
                user={"uid": 1000, "gid": 50, "umask": 0o077, "additionalGids": [5, 6], "additionalGroups": ["audio"]},
                capabilities={"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN", "CAP_KILL"]},
                rlimits=[{"type": "RLIMIT_NOFILE", "soft": 10, "hard": -1}],
                noNewPrivileges=True,
                oomScoreAdj=500,
            ),
            mounts=[{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]}],
            linux={
                "namespaces": [
                    {"type": "mount"},
                    {"type": "pid"},
                    {"type": "network", "path": "/run/netns/x"},
                ],
                "maskedPaths": ["/proc/keys"],
                "readonlyPaths": ["/proc/sys"],
                "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 1}],
                "sysctl": {"net.ipv4.ip_forward": "1"},
                "cgroupsPath": "/cais/x",
                "resources": {"pids": {"limit": 5}},
            },
        )
    )
    assert parsed.hostname == "box"
    assert parsed.domainname == "example"
    assert parsed.readonly_root
    assert parsed.process.env == ("A=b",)
    assert parsed.process.terminal
    assert parsed.process.user == "1000:50"
    assert parsed.process.additional_groups == ("5", "6", "audio")
    assert parsed.process.umask == 0o077
    assert parsed.process.capabilities["bounding"] == {0}
    assert parsed.process.capabilities["effective"] == {0, 5}
    assert parsed.process.rlimits == (Rlimit("RLIMIT_NOFILE", 10, -1),)
    assert parsed.process.no_new_privileges
    assert parsed.process.oom_score_adj == 500
    assert parsed.mounts == (Mount("/proc", "proc", "proc", ("nosuid",)),)
    assert parsed.new_namespaces() == CLONE_NEWNS | CLONE_NEWPID
    assert [item.flag for item in parsed.namespaces] == [CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET]
    assert parsed.has_new("pid")
    assert not parsed.has_new("network")
    assert not parsed.has_new("ipc")
    assert parsed.devices == (Device("/dev/fuse", "c", 10, 229, 0o600, 1, 0),)
    assert parsed.sysctl == {"net.ipv4.ip_forward": "1"}
    assert parsed.cgroups_path == "/cais/x"
    assert parsed.resources == {"pids": {"limit": 5}}


@pytest.mark.parametrize("name", ["", "u", "u:g", "1000:staff"])
def test_a_user_by_name_stands_for_itself(name: str) -> None:
    assert spec.parse_process(process(user={"username": name, "uid": 0})).user == name


def test_a_mount_without_a_type_is_a_bind_mount_where_its_options_say_so() -> None:
    mounts = [{"destination": "/a", "source": "/b", "options": ["rbind"]}, {"destination": "/c"}]
    assert [item.type for item in spec.parse(config(mounts=mounts)).mounts] == ["bind", ""]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"args": ["sh"]},
        {"args": [], "cwd": "/"},
        {"args": "sh", "cwd": "/"},
        {"args": None, "cwd": "/"},
        {"args": [1], "cwd": "/"},
        {"args": ["a\0b"], "cwd": "/"},
        {"args": ["\ud800"], "cwd": "/"},
        process(cwd="/\0"),
        process(cwd=None),
        process(env=["A=\0"]),
        process(env=5),
        process(capabilities={"bounding": ["CAP_NOTHING"]}),
        process(capabilities=["CAP_CHOWN"]),
        process(rlimits=[{"type": "RLIMIT_NOFILE"}]),
        process(user="root"),
    ],
)
def test_a_process_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StartFailed) as caught:
        spec.parse_process(wrong)
    assert caught.value.reason is Reason.INVALID
    with pytest.raises(StartFailed):
        spec.parse(config(process=wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mounts": [{"type": "proc"}]},
        {"mounts": 5},
        {"linux": {"namespaces": [{"type": "user"}]}},
        {"linux": {"namespaces": [{"type": "pid"}, {"type": "pid", "path": "/x"}]}},
        {"linux": {"namespaces": [{}]}},
        {"linux": {"devices": [{"path": "/dev/x"}]}},
        {"linux": {"devices": [{"path": "/dev/x", "type": "z"}]}},
        {"linux": {"sysctl": 5}},
        {"linux": "x"},
        {"root": "x"},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StartFailed) as caught:
        spec.parse(config(**wrong))
    assert caught.value.reason is Reason.INVALID


def test_a_missing_member_is_named() -> None:
    with pytest.raises(StartFailed, match="cwd"):
        spec.parse_process({"args": ["sh"]})


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"null", b"[" * 100_000])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(StartFailed) as caught:
        spec.load(str(tmp_path))
    assert caught.value.reason is Reason.INVALID


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"config\.json"):
        spec.load(str(tmp_path))


def test_a_config_is_loaded_from_its_bundle(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config(hostname="box")))
    assert spec.load(str(tmp_path)).hostname == "box"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PROCESS = st.fixed_dictionaries(
    {"args": JSON, "cwd": JSON},
    optional={name: JSON for name in ("env", "user", "capabilities", "rlimits", "terminal", "noNewPrivileges")},
)


@given(raw=JSON | st.fixed_dictionaries({"process": PROCESS, "linux": JSON, "mounts": JSON}))
def test_whatever_the_config_says_it_is_read_or_refused(raw: Any) -> None:
    try:
        spec.parse(raw)
    except StartFailed as error:
        assert error.reason is Reason.INVALID


def test_the_outline_is_what_the_monitor_needs() -> None:
    root = RootFilesystem(("/lower",), "/upper", "/work")
    request = StartRequest("x", "/bundle", root, "/exit.json", open_stdin=True)
    raw = config(
        process=process(terminal=True), linux={"cgroupsPath": "/cais/x", "namespaces": [{"type": "pid", "path": "/p"}]}
    )
    outline = Outline.of(request, raw)
    assert outline == Outline("x", "/bundle", "/exit.json", None, True, False, True, "/cais/x", "/p")
    assert Outline.from_json(outline.to_json()) == outline
    raw["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
    assert Outline.of(request, raw).pid_namespace == ""
    assert Outline.of(request, config()).pid_namespace is None


def test_a_process_like_another_has_arguments_and_environment_of_its_own() -> None:
    like = spec.parse_process(process(env=["A=1", "B=2"], cwd="/var"))
    other = spec.with_command(like, {"args": ["ls", "-l"], "env": ["A=3"]})
    assert (other.args, other.env) == (("ls", "-l"), ("A=3",))
    assert dataclasses.replace(other, args=like.args, env=like.env) == like


@pytest.mark.parametrize(
    "wrong", [{}, {"args": []}, {"args": ["a\0b"]}, {"args": ["sh"], "env": ["A=\0"]}, {"args": [1]}]
)
def test_a_wrong_command_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(StartFailed):
        spec.with_command(spec.parse_process(process()), wrong)
