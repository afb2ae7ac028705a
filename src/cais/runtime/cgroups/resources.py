"""The limits of a group, as typed data, from the `linux.resources` of an OCI runtime config.

https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups

As runc reads it, 0 means "not asked" and -1 "no limit". Kernel memory, huge pages and network classes are
not supported. What is not known is ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from cais.errors import InvalidArgument

type_error = 'invalid resources: "{}" must be {}, not {!r}'


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """One rule of the device list. `type` is "a", "b" or "c"; None for a number means every one."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `swap_bytes` is memory and swap together, as on version 1 and in OCI."""

    limit_bytes: int | None = None
    swap_bytes: int | None = None
    reservation_bytes: int | None = None
    swappiness: int | None = None
    oom_kill_disable: bool = False


@dataclass(frozen=True, slots=True)
class Cpu:
    """Microseconds, relative shares, and lists like "0-2,7"."""

    shares: int | None = None
    quota_us: int | None = None
    period_us: int | None = None
    realtime_runtime_us: int | None = None
    realtime_period_us: int | None = None
    cpus: str = ""
    mems: str = ""


@dataclass(frozen=True, slots=True)
class DeviceWeight:
    """The share of one block device's time, 10 to 1000."""

    major: int
    minor: int
    weight: int


@dataclass(frozen=True, slots=True)
class Throttle:
    """A rate on one block device. `kind` is version 2's key: rbps, wbps, riops or wiops."""

    kind: str
    major: int
    minor: int
    rate: int


@dataclass(frozen=True, slots=True)
class BlockIo:
    """Shares and rates of block devices."""

    weight: int | None = None
    device_weights: tuple[DeviceWeight, ...] = ()
    throttles: tuple[Throttle, ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that a group is limited to. `devices` None: only the devices that every container has."""

    memory: Memory = field(default_factory=Memory)
    cpu: Cpu = field(default_factory=Cpu)
    pids_limit: int | None = None
    block_io: BlockIo = field(default_factory=BlockIo)
    devices: tuple[DeviceRule, ...] | None = None
    unified: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_oci(cls, document: Mapping[str, object]) -> Self:
        """Raises InvalidArgument, naming the field, when a value has the wrong type or makes no sense."""
        root = _Reader(document, "linux.resources")
        memory = root.table("memory")
        cpu = root.table("cpu")
        return cls(
            memory=Memory(
                limit_bytes=memory.number("limit"),
                swap_bytes=memory.number("swap"),
                reservation_bytes=memory.number("reservation"),
                swappiness=memory.number("swappiness", zero_is_unset=False),
                oom_kill_disable=memory.boolean("disableOOMKiller"),
            ),
            cpu=Cpu(
                shares=cpu.number("shares"),
                quota_us=cpu.number("quota"),
                period_us=cpu.number("period"),
                realtime_runtime_us=cpu.number("realtimeRuntime"),
                realtime_period_us=cpu.number("realtimePeriod"),
                cpus=cpu.text("cpus"),
                mems=cpu.text("mems"),
            ),
            pids_limit=root.table("pids").number("limit"),
            block_io=_block_io(root.table("blockIO")),
            devices=tuple(_device_rule(item) for item in root.tables("devices")) if root.has("devices") else None,
            unified=_unified(root.table("unified")),
        )


class _Reader:
    """One JSON object: values by key, with the key's whole path in the errors."""

    def __init__(self, document: Mapping[str, object], where: str) -> None:
        self._document = document
        self.where = where

    def has(self, key: str) -> bool:
        return self._document.get(key) is not None

    def keys(self) -> list[str]:
        return list(self._document)

    def table(self, key: str) -> "_Reader":
        value = self._document.get(key)
        if value is None:
            return _Reader({}, f"{self.where}.{key}")
        if not isinstance(value, Mapping):
            raise self._wrong(key, "an object", value)
        return _Reader(value, f"{self.where}.{key}")

    def tables(self, key: str) -> "list[_Reader]":
        value = self._document.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            raise self._wrong(key, "a list of objects", value)
        return [_Reader(item, f"{self.where}.{key}[{index}]") for index, item in enumerate(value)]

    def number(self, key: str, *, zero_is_unset: bool = True) -> int | None:
        value = self._document.get(key)
        if value is None:
            return None
        # Go's encoder writes the largest unsigned number for "-1" in some fields
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value < 1 << 64:
            raise self._wrong(key, "a number, at least -1", value)
        return None if value == 0 and zero_is_unset else value

    def required(self, key: str) -> int:
        value = self.number(key, zero_is_unset=False)
        if value is None or value < 0:
            raise self._wrong(key, "a number", self._document.get(key))
        return value

    def boolean(self, key: str) -> bool:
        value = self._document.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return bool(value)

    def text(self, key: str) -> str:
        value = self._document.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or "\n" in value or "\0" in value:
            raise self._wrong(key, "a string of one line", value)
        return value

    def _wrong(self, key: str, expected: str, value: object) -> InvalidArgument:
        return InvalidArgument(type_error.format(f"{self.where}.{key}", expected, value))


def _device_rule(item: _Reader) -> DeviceRule:
    kind = item.text("type") or "a"
    access = item.text("access") or "rwm"
    if kind == "u":  # an unbuffered character device, in mknod(1)'s words
        kind = "c"
    if kind not in {"a", "b", "c"}:
        raise InvalidArgument(type_error.format(f"{item.where}.type", '"a", "b" or "c"', kind))
    if set(access) - set("rwm"):
        raise InvalidArgument(type_error.format(f"{item.where}.access", 'of the letters "rwm"', access))
    major = item.number("major", zero_is_unset=False)
    minor = item.number("minor", zero_is_unset=False)
    return DeviceRule(
        allow=item.boolean("allow"),
        type=kind,
        major=None if major == -1 else major,
        minor=None if minor == -1 else minor,
        access="".join(letter for letter in "rwm" if letter in access),
    )


def _block_io(item: _Reader) -> BlockIo:
    throttles = []
    for kind, key in (
        ("rbps", "throttleReadBpsDevice"),
        ("wbps", "throttleWriteBpsDevice"),
        ("riops", "throttleReadIOPSDevice"),
        ("wiops", "throttleWriteIOPSDevice"),
    ):
        for entry in item.tables(key):
            throttles.append(Throttle(kind, entry.required("major"), entry.required("minor"), entry.required("rate")))
    weights = [
        DeviceWeight(entry.required("major"), entry.required("minor"), entry.required("weight"))
        for entry in item.tables("weightDevice")
        if entry.number("weight") is not None
    ]
    return BlockIo(weight=item.number("weight"), device_weights=tuple(weights), throttles=tuple(throttles))


def _unified(item: _Reader) -> tuple[tuple[str, str], ...]:
    for key in item.keys():
        if "/" in key or "." not in key:
            raise InvalidArgument(f'invalid resources: "{item.where}" has the key "{key}", which is no cgroup file')
    return tuple((key, item.text(key)) for key in item.keys())
