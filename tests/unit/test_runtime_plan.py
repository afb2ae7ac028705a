"""What will be mounted, as data: the steps of a config, and what is refused before anything is touched."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.linux import mount as mnt
from cais.runtime import plan, spec
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.plan import Attributes, BindStep, CgroupStep, FilesystemStep, RootPlan

SAFE = mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_NODEV | mnt.MOUNT_ATTR_NOEXEC


def of(*mounts: dict[str, Any], **linux: Any) -> RootPlan:
    raw = {"process": {"args": ["true"], "cwd": "/"}, "mounts": list(mounts), "linux": linux}
    return plan.of_spec(spec.parse(raw))


def mount(destination: str, kind: str = "bind", source: str = "/source", *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def attributes(*options: str) -> Attributes:
    (step,) = of(mount("/x", "bind", "/source", *options)).steps
    return step.attributes


def test_a_file_system_keeps_its_own_options_and_gives_the_mount_s_to_the_mount() -> None:
    step = of(mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k", "noswap")).steps[0]
    assert step == FilesystemStep(
        "/dev",
        "tmpfs",
        "tmpfs",
        (("mode", "755"), ("size", "65536k"), ("noswap", None)),
        Attributes(mnt.MOUNT_ATTR_NOSUID | mnt.MOUNT_ATTR_STRICTATIME),
    )


@pytest.mark.parametrize(("kind", "strict"), [("proc", True), ("sysfs", True), ("tmpfs", False), ("mqueue", False)])
def test_the_file_systems_that_tell_of_the_kernel_follow_no_link(kind: str, strict: bool) -> None:
    step = of(mount("/x", kind, kind, "nosuid", "noexec", "nodev")).steps[0]
    assert step == FilesystemStep("/x", kind, kind, (), Attributes(SAFE), strict)


@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
def test_control_groups_are_a_step_of_their_own(kind: str) -> None:
    step = of(mount("/sys/fs/cgroup", kind, kind, "ro", "nosuid", "nodev", "noexec")).steps[0]
    assert step == CgroupStep("/sys/fs/cgroup", Attributes(SAFE | mnt.MOUNT_ATTR_RDONLY))


@pytest.mark.parametrize(("option", "recursive"), [("bind", False), ("rbind", True)])
def test_a_bind_mount_takes_what_is_below_when_asked(option: str, recursive: bool) -> None:
    assert of(mount("/x", "bind", "/source", option)).steps == (BindStep("/x", "/source", recursive, Attributes()),)


@pytest.mark.parametrize(
    ("options", "attr_set"),
    [
        ((), 0),
        (("ro",), mnt.MOUNT_ATTR_RDONLY),
        (("ro", "rw"), 0),
        (("rw", "ro"), mnt.MOUNT_ATTR_RDONLY),
        (("nosuid", "suid", "nodev"), mnt.MOUNT_ATTR_NODEV),
        (("noexec", "exec"), 0),
        (("noatime",), mnt.MOUNT_ATTR_NOATIME),
        (("noatime", "strictatime"), mnt.MOUNT_ATTR_STRICTATIME),
        (("noatime", "relatime"), mnt.MOUNT_ATTR_RELATIME),
        (("noatime", "nodiratime"), mnt.MOUNT_ATTR_NOATIME | mnt.MOUNT_ATTR_NODIRATIME),
        (("nosymfollow", "defaults"), mnt.MOUNT_ATTR_NOSYMFOLLOW),
    ],
)
def test_a_later_option_overrides_an_earlier_one(options: tuple[str, ...], attr_set: int) -> None:
    assert attributes(*options) == Attributes(attr_set)


def test_read_only_all_the_way_down() -> None:
    assert attributes("rbind", "rro") == Attributes(mnt.MOUNT_ATTR_RDONLY, recursive=True)


@pytest.mark.parametrize(
    ("option", "propagation", "recursive"),
    [
        ("private", mnt.MS_PRIVATE, False),
        ("rprivate", mnt.MS_PRIVATE, True),
        ("slave", mnt.MS_SLAVE, False),
        ("rslave", mnt.MS_SLAVE, True),
        ("shared", mnt.MS_SHARED, False),
        ("rshared", mnt.MS_SHARED, True),
    ],
)
def test_propagation_is_private_unless_asked_for(option: str, propagation: int, recursive: bool) -> None:
    assert attributes() == Attributes(propagation=mnt.MS_PRIVATE, propagation_recursive=True)
    assert attributes(option) == Attributes(propagation=propagation, propagation_recursive=recursive)


@pytest.mark.parametrize(
    ("destination", "target"), [("/a//b/", "/a/b"), ("/./a/.", "/a"), ("/", "/"), ("/a b", "/a b"), ("/...", "/...")]
)
def test_destinations_are_written_one_way(destination: str, target: str) -> None:
    assert of(mount(destination)).steps[0].target == target


@pytest.mark.parametrize("destination", ["", "a", "./a", "/a/../b", "/..", "../a"])
def test_a_destination_that_is_relative_or_goes_up_is_refused(destination: str) -> None:
    with pytest.raises(StartFailed) as caught:
        of(mount(destination))
    assert caught.value.reason is Reason.INVALID


@pytest.mark.parametrize("destination", ["/proc/sys", "/proc/self/attr", "//proc/./kcore", "/proc/1/root", "/proc/a/b"])
def test_nothing_is_bound_below_proc(destination: str) -> None:
    with pytest.raises(StartFailed, match="cannot be mounted because it is inside /proc"):
        of(mount(destination))


@pytest.mark.parametrize("destination", ["/proc/cpuinfo", "/proc/uptime", "/proc/sys/kernel/ns_last_pid", "/proc"])
def test_but_what_a_view_of_the_machine_may_replace(destination: str) -> None:
    assert of(mount(destination)).steps[0].target == destination


@pytest.mark.parametrize(
    "wrong", [mount("/x", "bind", "/s", "size=1"), mount("/x", "bind", "/s", "bind", "noexce"), mount("/x", "", "/s")]
)
def test_an_option_of_a_bind_mount_that_is_not_known_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StartFailed, match="mount of '/s' to '/x'"):
        of(wrong)


def test_the_devices_are_made_unless_the_host_s_are_shown() -> None:
    tmpfs, bind = mount("/dev", "tmpfs", "tmpfs"), mount("/dev", "bind", "/dev")
    assert of().populate_dev
    assert of(tmpfs).populate_dev
    assert not of(bind).populate_dev
    assert not of(tmpfs, bind).populate_dev
    assert of(bind, tmpfs).populate_dev


def test_what_is_hidden_is_passed_on() -> None:
    made = of(maskedPaths=["/proc/keys"], readonlyPaths=["/proc/sys"], sysctl={"net.a": "1"})
    assert made.masked_paths == ("/proc/keys",)
    assert made.readonly_paths == ("/proc/sys",)
    assert made.sysctl == {"net.a": "1"}
    assert not made.readonly_root


WORD = st.sampled_from(["ro", "rw", "rbind", "rprivate", "nosuid", "..", ".", "proc", "dev", "a", "", "size=1"])


@given(destination=st.lists(WORD, max_size=5).map("/".join), options=st.lists(WORD, max_size=5))
def test_whatever_is_asked_no_target_leaves_the_root_or_enters_proc(destination: str, options: list[str]) -> None:
    try:
        (step,) = of(mount(destination, "bind", "/source", *options)).steps
    except StartFailed:
        return
    parts = step.target.split("/")
    assert parts[0] == ""
    assert not {".", ".."} & set(parts)
    assert parts[1:2] != ["proc"] or len(parts) == 2
