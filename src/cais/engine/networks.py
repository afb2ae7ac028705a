"""The networks of an engine: found, made, listed, taken away; and what of them the host has.

What is in the database exists, and its bridge with it: whatever is missing on the host is made when the engine opens.
What a container has on a network is `network_endpoints`' matter.
"""

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from cais.engine import network_checks
from cais.engine.events import EventBus
from cais.engine.network import EXTENSIONS, Network, isolated
from cais.engine.network_models import (
    BRIDGE_NAME,
    DEFAULT_BRIDGE,
    DEFAULT_MTU,
    DRIVERS,
    GATEWAY_MODES,
    HOST_BINDING,
    ICC,
    ISOLATED,
    MASQUERADE,
    MTU,
    PARENT,
    PREDEFINED,
    IpamConfig,
    NetworkRecord,
    NetworkRequest,
    decode,
    encode,
)
from cais.engine.settings import Settings
from cais.errors import CaisError, Conflict, Forbidden, Internal, InvalidArgument, NotFound
from cais.linux.libnftables import NftError
from cais.network import bridges, ipam
from cais.network.bridges import Bridge, Bridges
from cais.network.firewall import Firewall, Forward, Rules
from cais.network.ipam import Pool, Subnet
from cais.storage.database import Database

_log = logging.getLogger("cais.engine.networks")

_ATTEMPTS: Final = 8  # to find a range that no other engine takes at the same moment
NEIGHBOURS: Final = 65536


class Networks:
    """The networks of one engine."""

    def __init__(self, settings: Settings, database: Database, events: EventBus) -> None:
        self._settings = settings
        self._database = database
        self._events = events
        self._by_id: dict[str, Network] = {}
        self._by_name: dict[str, Network] = {}
        self._changing = asyncio.Lock()
        self._mark = settings.firewall_table
        self._seed = ""
        self.bridges: Bridges
        self.firewall: Firewall

    def __iter__(self) -> Iterator[Network]:
        return iter(list(self._by_id.values()))

    async def load(self, seed: str) -> None:
        """Reads every stored network, and makes those that are always there. seed: the engine's id. Raises Internal."""
        self._seed = seed
        for network_id, stored in await self._database.run(_load):
            try:
                self._keep(Network(decode(stored)))
            except (msgspec.MsgspecError, ValueError, CaisError) as error:
                _log.error("network %s: its record cannot be read: %s", network_id, error)
        try:
            self.bridges = Bridges(self._mark)
            self.firewall = Firewall(self._mark)
        except OSError as error:
            raise Internal(
                f"the host's firewall cannot be reached: {error}; it takes nf_tables in the kernel, and libnftables "
                "(in Debian the package libnftables1)"
            ) from error
        for name in PREDEFINED:
            if name not in self._by_name:
                await self._store(Network(_predefined(name, self._settings.default_bridge)))

    async def open(self, forwards: list[Forward]) -> None:
        """Sees to it that the host has what the networks need. forwards: what is published. Raises Internal."""
        try:
            await asyncio.to_thread(bridges.enable_forwarding, 4)
            default = self._by_name["bridge"]
            await self._settle_default(default)
            for network in self:
                if network.record.driver == "bridge" and network is not default:
                    await self._make_bridge(network)
            links = [name for network in self for name in network.bridge_names()]
            ends = [
                name
                for network in self
                for number in range(1, network.extensions + 1)
                for name in network.extension_names(number)
            ]
            await asyncio.to_thread(self.bridges.sweep, links + ends)
            await asyncio.to_thread(self.firewall.rebuild, self._all_rules(), forwards)
            await asyncio.to_thread(self.firewall.sweep_others, links)
        except (OSError, NftError) as error:
            raise Internal(f"the host's network cannot be set up: {error}") from error

    async def close(self, running: bool) -> None:
        """Lets go of the host; with nothing `running`, nothing is left there."""
        try:
            if not running:
                await asyncio.to_thread(self.firewall.remove)
                for network in self:
                    await self._remove_links(network)
        except (OSError, NftError) as error:
            _log.error("the network of the host could not be cleaned up: %s", error)
        finally:
            self.firewall.close()

    def find(self, reference: str) -> Network:
        """The network with this id, name, or start of an id. Raises NotFound, InvalidArgument when several start so."""
        found = self._by_id.get(reference) or self._by_name.get("bridge" if reference == "default" else reference)
        if found is not None:
            return found
        begun = [network for known, network in self._by_id.items() if reference and known.startswith(reference)]
        if len(begun) > 1:
            raise InvalidArgument(f"network {reference} is ambiguous ({len(begun)} matches found on ID prefix)")
        if not begun:
            raise NotFound(f"network {reference} not found")
        return begun[0]

    def known(self, network_id: str) -> Network | None:
        """The network with this id; None where there is none any more."""
        return self._by_id.get(network_id)

    async def create(self, request: NetworkRequest) -> Network:
        """Makes a network. Raises InvalidArgument, Forbidden, NotFound, Conflict, Unsupported."""
        network_checks.check(request)
        async with self._changing:
            if request.Name in self._by_name:
                raise Conflict(f"network with name {request.Name} already exists")
            record = _record(request)
            await self._choose_link(record)
            network = await self._make_unrivalled(request, record)
        self._events.emit("network", "create", network.id, network.event_attributes())
        return network

    async def _make_unrivalled(self, request: NetworkRequest, record: NetworkRecord) -> Network:
        """Makes the network, with other ranges where another engine of this host chose the same ones just now."""
        attempt = 1
        while True:
            record.ranges = await asyncio.to_thread(self._ranges, request)
            network = await self._make(record)
            if record.own_subnets or attempt == _ATTEMPTS or not await self._has_rival(network):
                return network
            await self._forget(network)
            attempt += 1

    async def _make(self, record: NetworkRecord) -> Network:
        network = Network(record)
        await self._store(network)
        try:
            if record.driver == "bridge":
                await self._make_bridge(network)
                await asyncio.to_thread(self.firewall.add_networks, network.rules())
        except BaseException as error:
            await self._forget(network)
            if isinstance(error, OSError | NftError):
                raise Internal(f"create network {record.name}: {error}") from error
            raise
        return network

    async def _has_rival(self, network: Network) -> bool:
        """Whether another engine has chosen the same range at the same moment."""
        used = await asyncio.to_thread(self.bridges.used, set(network.bridge_names()))
        return any(ipam.overlaps(pool.subnet, used) for pool in network.pools.values())

    async def remove(self, network: Network) -> None:
        """Takes a network away. Raises Forbidden when it is predefined, or containers are on it."""
        if network.record.predefined:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        async with self._changing:
            if network.id not in self._by_id:
                raise NotFound(f"network {network.name} not found")
            if network.members:
                known = ", ".join(
                    f'name:"{member.container.name}" id:"{member.attached.endpoint_id[:12]}"'
                    for member in network.members.values()
                )
                raise Forbidden(f"error while removing network: network {network.name} has active endpoints ({known})")
            await self._forget(network)
        self._events.emit("network", "destroy", network.id, network.event_attributes())

    async def repair(self) -> None:
        """Makes again what somebody has taken from the host. Raises Internal."""
        async with self._changing:
            try:
                names = await asyncio.to_thread(self.bridges.names)
                for network in self:
                    if network.record.driver == "bridge" and not names.issuperset(network.bridge_names()):
                        _log.warning("the bridge of network %s is gone: it is made again", network.name)
                        await self._make_bridge(network)
                if await asyncio.to_thread(self.firewall.check):
                    _log.warning("rules of the firewall were gone, and are made again")
            except (OSError, NftError) as error:
                raise Internal(f"the host's network cannot be repaired: {error}") from error

    def _all_rules(self) -> list[Rules]:
        return [rules for network in self if network.record.driver == "bridge" for rules in network.rules()]

    def _keep(self, network: Network) -> None:
        self._by_id[network.id] = network
        self._by_name[network.name] = network

    async def _store(self, network: Network) -> None:
        row = (network.id, network.name, encode(network.record))
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO networks(id, name, record) VALUES (?, ?, ?)", row
            )
        )
        self._keep(network)

    async def _forget(self, network: Network) -> None:
        """The host's part first: what is in the database is made again after a crash, and can then be removed."""
        record = network.record
        if record.driver == "bridge":
            try:
                await asyncio.to_thread(self.firewall.remove_networks, network.bridge_names())
            except NftError as error:
                _log.error("network %s: its rules cannot be removed: %s", record.name, error)
        await self._remove_links(network)
        await self._database.run(
            lambda connection: connection.execute("DELETE FROM networks WHERE id = ?", (record.id,))
        )
        self._by_id.pop(network.id, None)
        self._by_name.pop(network.name, None)

    async def _make_bridge(self, network: Network) -> None:
        """Raises OSError."""
        if network.record.ipv6:
            await asyncio.to_thread(bridges.enable_forwarding, 6)
        for number, bridge in enumerate(network.bridges()):
            await asyncio.to_thread(self._ensure, network, number, bridge)

    def _ensure(self, network: Network, number: int, bridge: Bridge) -> None:
        """Makes one of a network's bridges, where it is not there. Raises OSError."""
        if self.bridges.ensure(bridge):
            lives = [member.attached for member in network.members.values()]
            ports = [live.host_link for live in lives if (live.bridge or network.record.link) == bridge.name]
            self.bridges.reattach(bridge.name, ports, isolated(network))
        for other in range(1, network.extensions + 1) if number == 0 else (number,):
            name, *ends = network.extension_names(other)
            if name in self.bridges.names():
                self.bridges.join(network.record.link, name, (ends[0], ends[1]), network.record.mtu)

    def extend(self, network: Network) -> None:
        """Makes room for more containers than one bridge has ports for. Raises Conflict, Internal."""
        if network.extensions >= EXTENSIONS or not network.record.icc:
            raise Conflict(f"network {network.name} has no port left for another container")
        network.extensions += 1
        try:
            bridges.make_room_for_neighbours(NEIGHBOURS)
            self._ensure(network, network.extensions, network.bridges()[-1])
            self.firewall.add_networks(network.rules()[-1:])
        except (OSError, NftError) as error:
            network.extensions -= 1
            raise Internal(f"extend network {network.name}: {error}") from error

    async def _remove_links(self, network: Network) -> None:
        record = network.record
        for number in range(1, network.extensions + 1):
            for name in network.extension_names(number)[:2]:
                await asyncio.to_thread(self.bridges.remove, name)
        if record.driver == "bridge" and record.owns_link:
            await asyncio.to_thread(self.bridges.remove, record.link)

    async def _choose_link(self, record: NetworkRecord) -> None:
        if record.driver == "bridge":
            record.link = record.options.get(BRIDGE_NAME) or f"br-{record.id[:12]}"
            if any(network.record.link == record.link for network in self):
                raise Conflict(f"networks have same bridge name: {record.link}")
            if len(record.link) > 15 or not record.link.isprintable() or {"/", " ", '"'} & set(record.link):
                raise InvalidArgument(f"invalid bridge name: {record.link!r}")
            record.owns_link = record.link not in await asyncio.to_thread(self.bridges.names)
            return
        record.link, record.owns_link = record.options[PARENT], False
        if record.link not in await asyncio.to_thread(self.bridges.names):
            raise InvalidArgument(f"the parent link {record.link} of the network does not exist")

    def _ranges(self, request: NetworkRequest) -> list[IpamConfig]:
        """The ranges of a new network, with gateways unless they are isolated. Raises Forbidden, NotFound, OSError."""
        asked = [item for item in network_checks.ranges(request) if item.Subnet]
        own = [pool.subnet for network in self for pool in network.pools.values()]
        chosen = []
        for version in (4, 6):
            if version == 6 and not request.EnableIPv6:
                continue
            given = next((item for item in asked if network_checks.subnet_of(item).version == version), None)
            if given is not None:
                ipam.check_free(network_checks.subnet_of(given), own)
            else:
                given = IpamConfig(Subnet=str(self._free_subnet(version, own)))
            isolated = (request.Options or {}).get(GATEWAY_MODES[version]) == ISOLATED
            if request.Driver == "bridge" and isolated:  # the host has no address there
                chosen.append(given)
            else:
                chosen.append(_with_gateway(given, request.Driver))
        return chosen

    def _free_subnet(self, version: int, own: list[Subnet]) -> Subnet:
        used = [*own, *self.bridges.used()]
        if version == 4:
            return ipam.choose(ipam.default_subnets(), used)
        return ipam.choose(ipam.local_prefix(self._seed).subnets(new_prefix=64), used)

    async def _settle_default(self, network: Network) -> None:
        """Gives the default bridge a range that nobody else on this host has, the one it had where that is so."""
        link = network.record.link
        for _ in range(_ATTEMPTS):
            used = await asyncio.to_thread(self.bridges.used, {link})
            others = [pool.subnet for other in self if other is not network for pool in other.pools.values()]
            known = network.pools.get(4)
            if known is None or (not network.members and ipam.overlaps(known.subnet, [*used, *others])):
                chosen = ipam.choose(ipam.default_subnets(), [*used, *others])
                await asyncio.to_thread(self.bridges.remove, link)
                network.record.ranges = [_with_gateway(IpamConfig(Subnet=str(chosen)), "bridge")]
                fresh = Network(network.record)
                network.pools, network.gateways = fresh.pools, fresh.gateways
                await self._store(network)
            await self._make_bridge(network)
            # Another engine may have chosen the same at the same moment: both look again, and give way.
            if network.members or not await self._has_rival(network):
                return
            await asyncio.to_thread(self.bridges.remove, link)
            await asyncio.sleep(secrets.randbelow(50) / 1000)
        raise Internal("no range of addresses is free for the default bridge")


def _predefined(name: str, bridge: str) -> NetworkRecord:
    record = NetworkRecord(
        id=secrets.token_hex(32), name=name, created_ns=time.time_ns(), driver=DRIVERS[name], owns_link=name == "bridge"
    )
    if name == "bridge":
        record.link = bridge
        record.options = {
            DEFAULT_BRIDGE: "true", ICC: "true", MASQUERADE: "true", HOST_BINDING: "0.0.0.0",  # noqa: S104
            BRIDGE_NAME: bridge, MTU: str(DEFAULT_MTU),
        }  # fmt: skip
    return record


def _record(request: NetworkRequest) -> NetworkRecord:
    return NetworkRecord(
        id=secrets.token_hex(32),
        name=request.Name,
        created_ns=time.time_ns(),
        driver=request.Driver,
        ipv6=request.EnableIPv6,
        own_subnets=any(item.Subnet for item in network_checks.ranges(request)),
        ipam_options=request.IPAM.Options if request.IPAM else None,
        internal=request.Internal,
        attachable=request.Attachable,
        options=request.Options or {},
        labels=request.Labels or {},
    )


def _with_gateway(item: IpamConfig, driver: str) -> IpamConfig:
    """A range with its gateway: the first address that is free, unless one was asked for."""
    if item.Gateway:
        return item
    subnet = network_checks.subnet_of(item)
    within = network_checks.subnet_of(IpamConfig(Subnet=item.IPRange)) if item.IPRange else None
    pool = Pool(subnet, within)
    for address in item.AuxiliaryAddresses.values():
        pool.take(address)
    return msgspec.structs.replace(item, Gateway=pool.take_next())


def _load(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
    return connection.execute("SELECT id, record FROM networks").fetchall()
