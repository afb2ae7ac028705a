"""One suite for every implementation of `cais.runtime.cgroups.Hierarchy` that this machine can run."""

import errno
import os
import select
import signal
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cais.errors import CaisError
from cais.runtime.cgroups import Cgroup, CgroupError, DeviceRule, Hierarchy, Resources, files, open_hierarchy, sweep
from cais.runtime.cgroups.detect import layout_from
from cais.runtime.cgroups.hybrid import HybridHierarchy
from cais.runtime.cgroups.resources import Throttle
from cais.runtime.cgroups.v1 import V1Hierarchy
from cais.runtime.cgroups.v2 import V2Hierarchy

LAYOUT = layout_from(Path("/proc/self/mountinfo").read_text("utf-8").splitlines())
IMPLEMENTATIONS = {
    "host": True,
    "v1": bool(LAYOUT.v1),
    "v2": LAYOUT.v2 is not None,
    "hybrid": bool(LAYOUT.v1) and LAYOUT.v2 is not None,
}
MEBIBYTE = 1 << 20


def version_2() -> V2Hierarchy:
    assert LAYOUT.v2 is not None
    return V2Hierarchy(LAYOUT.v2, frozenset(Path(LAYOUT.v2, "cgroup.controllers").read_text("ascii").split()))


def everything() -> Hierarchy:
    """All that is mounted, used or not."""
    if LAYOUT.v1 and LAYOUT.v2 is not None:
        return HybridHierarchy(V1Hierarchy(LAYOUT.v1), version_2())
    return open_hierarchy()


@pytest.fixture(params=[name for name, present in IMPLEMENTATIONS.items() if present])
def hierarchy(request: pytest.FixtureRequest) -> Hierarchy:
    """What the host uses, each version alone, and both together."""
    match request.param:
        case "v1":
            return V1Hierarchy(LAYOUT.v1)
        case "v2":
            return version_2()
        case "hybrid":
            return everything()
        case _:
            return open_hierarchy()


def unused_path() -> str:
    return f"/cais-test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def parent(hierarchy: Hierarchy) -> Iterator[str]:
    """A path that no other test uses; whatever is below it is removed."""
    path = unused_path()
    yield path
    group = everything().open(path)
    group.kill()
    group.remove()


def resources(**document: object) -> Resources:
    return Resources.from_oci(document)


def needs(hierarchy: Hierarchy, controller: str) -> None:
    if controller not in hierarchy.controllers:
        pytest.skip(f"{controller} is not in this hierarchy")


@contextmanager
def child(action: Callable[[], int] = lambda: 0, *, forever: bool = False) -> Iterator["Child"]:
    """A process that waits for `Child.run()`, or sleeps `forever`; killed at the end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            os.close(writer)
            while forever:
                time.sleep(60)
            if os.read(reader, 1):
                status = action()
        finally:
            os._exit(status)
    os.close(reader)
    process = Child(pid, writer)
    try:
        yield process
    finally:
        os.close(writer)
        if process.status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


class Child:
    """The other side of `child()`."""

    def __init__(self, pid: int, writer: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self._writer = writer

    def run(self) -> int:
        """Let the action begin; its result, or 128 + the signal that ended it."""
        os.write(self._writer, b"x")
        return self.wait()

    def wait(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.status = code if code >= 0 else 128 - code
        return self.status


def directories(path: str) -> list[Path]:
    """Where the group exists, over all hierarchies."""
    points = [mount.point for mount in LAYOUT.v1] + ([LAYOUT.v2] if LAYOUT.v2 else [])
    return [directory for point in points if (directory := Path(point + path)).exists()]


def test_a_group_is_made_with_its_parents_and_removed(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a/b", Resources())
    assert directories(f"{parent}/a/b")
    assert hierarchy.children(f"{parent}/a") == {"b"}
    group.remove()
    assert not directories(f"{parent}/a/b")
    group.remove()


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a//b", "/", "/a/"])
def test_a_path_that_leaves_its_place_is_refused(hierarchy: Hierarchy, path: str) -> None:
    with pytest.raises(CgroupError, match="invalid cgroup path"):
        hierarchy.create(path, Resources())
    with pytest.raises(CgroupError, match="invalid cgroup path"):
        hierarchy.open(path)


def test_processes_are_added_and_listed_with_those_below(hierarchy: Hierarchy, parent: str) -> None:
    above, below = hierarchy.create(f"{parent}/a", Resources()), hierarchy.create(f"{parent}/a/b", Resources())
    with child(forever=True) as first, child(forever=True) as second:
        above.add(first.pid)
        below.add(second.pid)
        assert sorted(above.pids()) == sorted([first.pid, second.pid])
        assert hierarchy.open(f"{parent}/a/b").pids() == [second.pid]


def test_a_process_joins_by_itself(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a", Resources())

    def join() -> int:
        files.enter(group.entries())
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
        return sum(line.endswith(f":{parent}/a") for line in lines)

    with child(join) as process:
        assert process.run() == len(directories(f"{parent}/a"))


def test_adding_a_process_that_is_gone_names_the_file_and_the_value(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a", Resources())
    with child() as process:
        process.run()
        with pytest.raises(
            CgroupError, match=rf'write "{process.pid}" to ".*{parent}/a/cgroup.procs": No such process'
        ):
            group.add(process.pid)


def test_a_group_that_was_left_empty_is_replaced_and_one_in_use_is_not(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a", Resources())
    hierarchy.create(f"{parent}/a/below", Resources())
    group = hierarchy.create(f"{parent}/a", Resources())
    assert hierarchy.children(f"{parent}/a") == set()
    with child(forever=True) as process:
        group.add(process.pid)
        with pytest.raises(CgroupError, match="in use"):
            hierarchy.create(f"{parent}/a", Resources())
        assert group.pids() == [process.pid]


def test_a_limit_whose_controller_is_missing_is_an_error_that_says_so(hierarchy: Hierarchy, parent: str) -> None:
    if "memory" in hierarchy.controllers:
        pytest.skip("it has all controllers")
    with pytest.raises(CgroupError, match='"memory" is missing on this host'):
        hierarchy.create(f"{parent}/a", resources(memory={"limit": MEBIBYTE}))
    assert not directories(f"{parent}/a")


def test_a_limit_that_the_kernel_refuses_leaves_nothing(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "cpuset")
    with pytest.raises(CgroupError, match=r'write "4000" to ".*/cpuset.cpus"') as caught:
        hierarchy.create(f"{parent}/a", resources(cpu={"cpus": "4000"}))
    assert caught.value.errno is not None
    assert not directories(f"{parent}/a")


def test_limits_are_set_changed_and_reported(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "memory")
    memory = {"limit": 64 * MEBIBYTE, "swap": 96 * MEBIBYTE, "reservation": 32 * MEBIBYTE}
    group = hierarchy.create(f"{parent}/a", resources(memory=memory, pids={"limit": 77}))
    assert (group.stats().memory_limit_bytes, group.stats().pids_limit) == (64 * MEBIBYTE, 77)
    for limit, swap in ((200, 300), (20, 30), (40, 40), (400, -1)):
        group.update(resources(memory={"limit": limit * MEBIBYTE, "swap": swap * MEBIBYTE if swap > 0 else swap}))
        assert group.stats().memory_limit_bytes == limit * MEBIBYTE
    assert group.stats().pids_limit == 77
    group.update(resources(memory={"limit": -1}, pids={"limit": -1}))
    assert (group.stats().memory_limit_bytes, group.stats().pids_limit) == (None, None)


def test_the_limits_in_force_can_be_read(hierarchy: Hierarchy, parent: str) -> None:
    for controller in ("memory", "cpu", "cpuset", "pids"):
        needs(hierarchy, controller)
    group = hierarchy.create(
        f"{parent}/a",
        resources(
            memory={"limit": 64 * MEBIBYTE, "swap": 96 * MEBIBYTE, "reservation": 32 * MEBIBYTE},
            cpu={"quota": 25_000, "period": 50_000, "cpus": "0"},
            pids={"limit": 7},
        ),
    )
    limits = group.limits()
    assert (limits.memory_bytes, limits.memory_reservation_bytes) == (64 * MEBIBYTE, 32 * MEBIBYTE)
    assert limits.memory_swap_bytes in {96 * MEBIBYTE, None}  # where swap is not accounted
    assert (limits.cpu_quota_us, limits.cpu_period_us, limits.cpus, limits.pids) == (25_000, 50_000, "0", 7)
    assert (limits.cpu_shares, limits.cpu_weight) in {(1024, None), (None, 100)}
    assert (limits.pids_refused, limits.throttles) == (0, ())


def test_a_group_without_limits_has_none(hierarchy: Hierarchy, parent: str) -> None:
    limits = hierarchy.create(f"{parent}/a", Resources()).limits()
    assert (limits.memory_bytes, limits.memory_swap_bytes, limits.memory_reservation_bytes) == (None, None, None)
    assert (limits.cpu_quota_us, limits.pids, limits.throttles) == (None, None, ())


def test_rates_of_a_block_device_can_be_read(hierarchy: Hierarchy, parent: str) -> None:
    if not hierarchy.features().io_throttle:
        pytest.skip("rates of block devices can't be limited in this hierarchy")
    whole = [name for name in sorted(os.listdir("/sys/block")) if not name.startswith(("zram", "fd"))]
    if not whole:
        pytest.skip("there is no block device")
    major, _, minor = Path("/sys/block", whole[0], "dev").read_text("ascii").strip().partition(":")
    device = {"major": int(major), "minor": int(minor), "rate": 1 << 20}
    group = hierarchy.create(f"{parent}/a", resources(blockIO={"throttleReadBpsDevice": [device]}))
    assert group.limits().throttles == (Throttle("rbps", int(major), int(minor), 1 << 20),)


def test_a_swap_limit_below_the_memory_limit_is_refused(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "memory")
    with pytest.raises(CgroupError):
        hierarchy.create(f"{parent}/a", resources(memory={"limit": 64 * MEBIBYTE, "swap": 32 * MEBIBYTE}))
    assert not directories(f"{parent}/a")


def test_processors_can_be_chosen(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "cpuset")
    last = max(os.sched_getaffinity(0))
    group = hierarchy.create(f"{parent}/a", resources(cpu={"cpus": str(last), "mems": "0"}))
    with child(lambda: int(os.sched_getaffinity(0) != {last})) as process:
        group.add(process.pid)
        assert process.run() == 0


def test_a_processor_quota_throttles(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "cpu")
    group = hierarchy.create(f"{parent}/a", resources(cpu={"shares": 512, "period": 100_000, "quota": 10_000}))

    def burn() -> int:
        end = time.process_time() + 0.04
        while time.process_time() < end:
            pass
        return 0

    with child(burn) as process:
        group.add(process.pid)
        assert process.run() == 0
    stats = group.stats()
    assert stats.cpu_throttled_periods >= 1
    assert 30e6 < stats.cpu_total_ns < 500e6


def test_a_process_limit_stops_a_fork(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "pids")
    group = hierarchy.create(f"{parent}/a", resources(pids={"limit": 1}))

    def fork() -> int:
        try:
            if os.fork() == 0:
                os._exit(0)
        except OSError as error:
            return error.errno or 255
        return 0

    with child(fork) as process:
        group.add(process.pid)
        assert group.stats().pids_current == 1
        assert process.run() == errno.EAGAIN


def test_running_out_of_memory_is_counted_and_signalled(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "memory")
    group = hierarchy.create(f"{parent}/a", resources(memory={"limit": 16 * MEBIBYTE, "swap": 16 * MEBIBYTE}))
    event = group.oom_event_fd()
    assert event is not None
    try:
        assert not os.get_inheritable(event)
        assert select.select([event], [], [], 0)[0] == []
        with child(lambda: len(bytearray(b"x") * (64 * MEBIBYTE)) and 1) as process:
            group.add(process.pid)
            assert process.run() == 128 + signal.SIGKILL
        assert select.select([event], [], [], 1)[0] == [event]
        os.read(event, 4096)
        assert group.oom_kills() == 1
    finally:
        os.close(event)


def test_without_memory_controller_there_is_no_event(hierarchy: Hierarchy, parent: str) -> None:
    if "memory" in hierarchy.controllers:
        pytest.skip("it has one")
    group = hierarchy.create(f"{parent}/a", Resources())
    assert group.oom_event_fd() is None
    assert group.oom_kills() == 0


def _still(pid: int) -> bool:
    """Whether the process doesn't get on with counting."""

    def ticks() -> str:
        return Path(f"/proc/{pid}/schedstat").read_text("ascii")

    before = ticks()
    time.sleep(0.03)
    return before == ticks()


def _spin() -> int:
    while True:
        pass


def test_a_frozen_group_stands_still_and_goes_on(hierarchy: Hierarchy, parent: str) -> None:
    needs(hierarchy, "freezer")
    group = hierarchy.create(f"{parent}/a", Resources())
    with child(_spin) as process:
        group.add(process.pid)
        os.write(process._writer, b"x")
        group.freeze()
        assert _still(process.pid)
        group.thaw()
        assert not _still(process.pid)


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_reaches_everything_below_frozen_or_not(hierarchy: Hierarchy, parent: str, frozen: bool) -> None:
    group, below = hierarchy.create(f"{parent}/a", Resources()), hierarchy.create(f"{parent}/a/b", Resources())
    with child(forever=True) as first, child(forever=True) as second:
        group.add(first.pid)
        below.add(second.pid)
        if frozen:
            group.freeze()
        group.kill()
        assert first.wait() == second.wait() == 128 + signal.SIGKILL
    group.remove()
    assert not directories(f"{parent}/a")


def test_kill_wins_against_a_process_that_forks_without_end(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a", Resources())

    def bomb() -> int:
        while True:  # each generation lives on after its parent, 20 at a time
            if len(group.pids()) < 20:
                os.fork()
            elif os.fork():
                os._exit(0)

    with child(bomb) as process:
        group.add(process.pid)
        os.write(process._writer, b"x")
        deadline = time.monotonic() + 5
        while len(group.pids()) < 15 and time.monotonic() < deadline:
            time.sleep(0.01)
        group.kill()
        process.wait()
        group.remove()
    assert group.pids() == []


def test_kill_of_a_group_that_is_gone_is_fine(hierarchy: Hierarchy, parent: str) -> None:
    hierarchy.open(f"{parent}/never").kill()


def test_a_group_with_processes_is_not_removed(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a", Resources())
    with child(forever=True) as process:
        group.add(process.pid)
        started = time.monotonic()
        with pytest.raises(CgroupError, match=f'remove cgroup ".*{parent}/a": it still has processes'):
            group.remove()
        assert 0.9 < time.monotonic() - started < 5


def test_removing_waits_for_dying_processes(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a", Resources())
    with ExitStack() as stack:
        for _ in range(20):
            group.add(stack.enter_context(child(forever=True)).pid)
        group.kill()
        group.remove()
        assert not directories(f"{parent}/a")


def _block_device() -> int:
    """The number of a block device that this machine really has."""
    for name in sorted(os.listdir("/sys/dev/block")):
        major, minor = map(int, name.split(":"))
        node = os.makedev(major, minor)
        with tempfile.TemporaryDirectory() as folder:
            os.mknod(f"{folder}/node", stat.S_IFBLK | 0o600, node)
            try:
                os.close(os.open(f"{folder}/node", os.O_RDONLY | os.O_NONBLOCK))
            except OSError:
                continue
            return node
    pytest.skip("no block device can be opened here")


def _open_devices(folder: str, block: int) -> int:
    """Bits of what works: 1 null, 2 making a block node, 4 reading it, 8 writing it, 16 /dev/kmsg's device."""

    def opens(name: str, flags: int) -> bool:
        try:
            os.close(os.open(name, flags | os.O_NONBLOCK))
        except PermissionError:
            return False
        return True

    os.mknod(f"{folder}/block", stat.S_IFBLK | 0o600, block)
    os.mknod(f"{folder}/kmsg", stat.S_IFCHR | 0o600, os.makedev(1, 11))
    results = (
        opens("/dev/null", os.O_RDWR),
        os.path.exists(f"{folder}/block"),
        opens(f"{folder}/block", os.O_RDONLY),
        opens(f"{folder}/block", os.O_RDWR),
        opens(f"{folder}/kmsg", os.O_RDONLY),
    )
    return sum(1 << bit for bit, works in enumerate(results) if works)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (None, 1 | 2),
        ([DeviceRule(allow=False)], 1 | 2),
        ([DeviceRule(allow=False), DeviceRule(True, "b", None, None, "r")], 1 | 2 | 4),
        ([DeviceRule(allow=False), DeviceRule(True, "c", 1, 11, "rw")], 1 | 2 | 16),
        ([DeviceRule(allow=True)], 1 | 2 | 4 | 8 | 16),
        ([DeviceRule(allow=True), DeviceRule(False, "b", None, None, "w")], 1 | 2 | 4 | 16),
        ([DeviceRule(allow=True), DeviceRule(False, "c", 1, 11, "rwm")], None),
    ],
)
def test_only_the_devices_of_the_rules_can_be_opened(
    hierarchy: Hierarchy, parent: str, tmp_path: Path, rules: list[DeviceRule] | None, expected: int | None
) -> None:
    needs(hierarchy, "devices")
    block = _block_device()
    group = hierarchy.create(f"{parent}/a", Resources(devices=None if rules is None else tuple(rules)))

    def look() -> int:
        try:
            return _open_devices(str(tmp_path), block)
        except PermissionError:  # mknod
            return 128

    with child(look) as process:
        group.add(process.pid)
        assert process.run() == (128 if expected is None else expected)


def test_an_update_does_not_loosen_the_device_rules(hierarchy: Hierarchy, parent: str, tmp_path: Path) -> None:
    needs(hierarchy, "devices")
    block = _block_device()
    group = hierarchy.create(f"{parent}/a", Resources())
    group.update(Resources(devices=(DeviceRule(allow=True),)))
    with child(lambda: _open_devices(str(tmp_path), block)) as process:
        group.add(process.pid)
        assert process.run() == 1 | 2


def test_a_rule_that_cannot_be_held_is_refused_and_leaves_nothing(hierarchy: Hierarchy, parent: str) -> None:
    rules = (DeviceRule(False), DeviceRule(True, "c", 10, None), DeviceRule(False, "c", 10, 229))
    with pytest.raises(CaisError, match="c 10:229"):
        hierarchy.create(f"{parent}/a", Resources(devices=rules))
    assert not directories(f"{parent}/a")


def test_the_directory_of_version_2_can_be_had(hierarchy: Hierarchy, parent: str) -> None:
    group = hierarchy.create(f"{parent}/a", Resources())
    descriptor = group.directory_fd()
    if LAYOUT.v2 is None or not Path(LAYOUT.v2 + f"{parent}/a").exists():
        assert descriptor is None
        return
    assert descriptor is not None
    try:
        assert os.path.samestat(os.fstat(descriptor), os.stat(LAYOUT.v2 + f"{parent}/a"))
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_what_a_container_sees_are_its_own_folders(hierarchy: Hierarchy, parent: str) -> None:
    mounts = hierarchy.create(f"{parent}/a", Resources()).mounts()
    assert mounts.version == hierarchy.version
    if mounts.version == 2:
        assert not mounts.binds
        assert not mounts.links
        return
    names = [name for name, _ in mounts.binds]
    assert len(set(names)) == len(names) == len(LAYOUT.v1)
    for name, directory in mounts.binds:
        assert directory.endswith(f"/{name}{parent}/a")
        assert Path(directory, "cgroup.procs").exists()
    for link, target in mounts.links:
        assert target in names
        assert link in target.split(",")


def test_sweeping_kills_and_removes_all_but_what_is_kept(hierarchy: Hierarchy, parent: str) -> None:
    groups: dict[str, Cgroup] = {name: hierarchy.create(f"{parent}/{name}", Resources()) for name in "abc"}
    with child(forever=True) as kept, child(forever=True) as swept:
        groups["a"].add(kept.pid)
        groups["b"].add(swept.pid)
        assert sweep(parent, {"a", "unknown"}, hierarchy) == ["b", "c"]
        assert swept.wait() == 128 + signal.SIGKILL
        assert groups["a"].pids() == [kept.pid]
    assert hierarchy.children(parent) == {"a"}
    assert sweep(f"{parent}/nothing", set(), hierarchy) == []


def test_a_fork_needs_no_import_to_use_a_group(hierarchy: Hierarchy, parent: str) -> None:
    def use() -> int:
        import builtins  # noqa: PLC0415

        def refuse(name: str, *_: object, **__: object) -> object:
            os.write(2, f"imported {name}\n".encode())
            os._exit(3)

        builtins.__import__ = refuse  # type: ignore[assignment]
        group = hierarchy.create(f"{parent}/a", resources())
        group.add(0)
        group.stats()
        group.oom_kills()
        for descriptor in (group.directory_fd(), group.oom_event_fd()):
            if descriptor is not None:
                os.close(descriptor)
        group.mounts()
        below = hierarchy.create(f"{parent}/b", resources())
        below.add(0)
        group.kill()
        group.remove()
        return 0

    with child(use) as process:
        assert process.run() == 0


def test_the_controllers_of_version_2_are_passed_on_and_its_files_written() -> None:
    """With a controller that this machine has there: in a hybrid those that version 1 hasn't mounted."""
    if LAYOUT.v2 is None:
        pytest.skip("no version 2 here")
    point = Path(LAYOUT.v2)
    hierarchy = version_2()
    names = hierarchy.available
    keys = {"hugetlb": ("hugetlb.2MB.max", "4194304"), "pids": ("pids.max", "55"), "memory": ("memory.high", "8388608")}
    name = next((name for name in keys if name in names), None)
    if name is None:
        pytest.skip("no controller that this test knows")
    key, value = keys[name]
    parent = unused_path()
    control = point / "cgroup.subtree_control"
    was_enabled = name in control.read_text("ascii").split()
    group = hierarchy.create(f"{parent}/a/b", resources(unified={key: value}))
    try:
        assert Path(LAYOUT.v2 + f"{parent}/a/b", key).read_text("ascii").strip() == value
        group.update(resources(unified={key: "max"}))
        assert Path(LAYOUT.v2 + f"{parent}/a/b", key).read_text("ascii").strip() == "max"
        with pytest.raises(CgroupError, match=f'write "nonsense" to ".*/{key}": Invalid argument'):
            group.update(resources(unified={key: "nonsense"}))
        with pytest.raises(CgroupError, match="this kernel has no such limit"):
            hierarchy.create(f"{parent}/c", resources(unified={f"{name}.nonsense": "1"}))
        assert not directories(f"{parent}/c")
    finally:
        everything().open(parent).remove()
        if not was_enabled:
            control.write_text(f"-{name}", "ascii")
