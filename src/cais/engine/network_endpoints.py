"""What containers have on networks: given when they start or are connected, taken back when they end.

begin      addresses, ports and the plan of a start; before anything of the container is made
started    its process runs: its resolver gets to work
end        all is taken back
adopt      a container that an earlier engine started has what its record says
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterable
from ipaddress import ip_address

from cais.engine import etcfiles, joining, link_variables, network_ports
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.models import Attached, Endpoint, EndpointSettings
from cais.engine.network import Member, Network, isolated
from cais.engine.network_models import HOST_BINDING, LINK_PREFIX
from cais.engine.network_names import ContainerNames, names_of
from cais.engine.network_requests import PRIVATE, SHARED, check_addresses, check_settings, link_local
from cais.engine.networks import Networks
from cais.engine.resolvconf import Kind
from cais.engine.tasks import Tasks
from cais.engine.text import reason
from cais.errors import CaisError, Conflict, Forbidden, Internal, InvalidArgument, NotFound
from cais.network import ipam
from cais.network.dns.resolver import Resolver
from cais.network.firewall import Forward
from cais.network.ports import ANY4, Ports, Published
from cais.runtime.client import Runtime
from cais.runtime.errors import StartFailed
from cais.runtime.links import Link, NetworkPlan

_log = logging.getLogger("cais.engine.networks")

_FAILED = "failed to set up container networking: "
_HOST = "container cannot be disconnected from host network or connected to host network"


class Endpoints:
    """The containers of one engine on its networks."""

    def __init__(
        self, *, networks: Networks, containers: Containers, runtime: Runtime, events: EventBus, tasks: Tasks
    ) -> None:
        self._networks = networks
        self._containers = containers
        self._tasks = tasks
        self._runtime = runtime
        self._events = events
        self._ports = Ports(self._is_inside)
        self._held: dict[str, list[Published]] = {}
        self._forwards: dict[str, list[Forward]] = {}
        self._resolvers: dict[str, Resolver] = {}
        self._ipv6 = os.path.exists("/proc/net/if_inet6")

    async def close(self) -> None:
        """Lets go of ports and resolvers; containers keep what they have."""
        self._ports.close()
        for resolver in self._resolvers.values():
            await resolver.close()
        self._resolvers.clear()

    @property
    def forwards(self) -> list[Forward]:
        """All that is published."""
        return [forward for forwards in self._forwards.values() for forward in forwards]

    def begin(self, container: Container) -> NetworkPlan | None:
        """Gives a container that is to start its addresses and ports; None where it has no network of its own.

        All or nothing. Raises CaisError, in Docker's words.
        """
        self.end(container)  # a start that was cut off may have left its word in the record
        record = container.record
        mode = record.host_config.NetworkMode
        if joining.partner(mode):
            return None
        record.sandbox_id = secrets.token_hex(32)
        try:
            plan = self._begin(container)
            return plan if mode != "host" else None
        except CaisError as error:
            self.end(container)
            raise type(error)(_FAILED + error.message) from error

    def _begin(self, container: Container) -> NetworkPlan:
        self._links(container, starting=True)
        for name, endpoint in container.record.endpoints.items():
            network = self._networks.find(endpoint.network_id or name)
            self._attach(container, endpoint, network)
        self._publish(container)
        links = [
            self._link(container, endpoint)
            for endpoint in container.record.endpoints.values()
            if endpoint.live and endpoint.live.link
        ]
        return NetworkPlan(
            links=tuple(links), gateways=self._gateways(container), resolver=self._wants_resolver(container)
        )

    def started(self, container: Container) -> None:
        """The container runs: who asks for names gets answers."""
        monitor = container.monitor
        if monitor is not None and len(monitor.resolver_sockets) == 2:
            udp, tcp = monitor.resolver_sockets
            monitor.resolver_sockets = []
            self._resolve(container, udp, tcp)

    def _resolve(self, container: Container, udp: socket.socket, tcp: socket.socket) -> None:
        conf = etcfiles.resolv_conf(container.record, self.surroundings(container))
        resolver = Resolver(
            ContainerNames(container, self._networks), conf.upstreams, self._is_internal(container), udp, tcp,
            keeps_single_labels=conf.keeps_single_labels,
        )  # fmt: skip
        self._resolvers[container.id] = resolver
        self._tasks.start(self._start_resolver(container.id, resolver), f"resolver of container {container.id[:12]}")

    async def _start_resolver(self, container_id: str, resolver: Resolver) -> None:
        """The container may have ended before its resolver has begun."""
        if self._resolvers.get(container_id) is resolver:
            await resolver.start()

    def end(self, container: Container) -> None:
        """Takes back all that a container has. One that has nothing is none the worse for it."""
        record = container.record
        resolver = self._resolvers.pop(container.id, None)
        if resolver is not None:
            self._tasks.start(resolver.close(), f"end of the resolver of container {container.id[:12]}")
        self._withdraw(container)
        for endpoint in record.endpoints.values():
            self._detach(container, endpoint)
        record.sandbox_id = ""

    def adopt(self, container: Container) -> None:
        """A container of an earlier engine runs: what its record says it has, nobody else gets."""
        record = container.record
        for name, endpoint in record.endpoints.items():
            network = self._networks.known(endpoint.network_id)
            if network is None or endpoint.live is None:
                continue
            for version, address in ((4, endpoint.live.ipv4), (6, endpoint.live.ipv6)):
                if address and version in network.pools:
                    try:
                        network.pools[version].take(address)
                    except Forbidden:
                        _log.error("container %s: its address %s on %s is another's too", record.id, address, name)
            network.adopt_bridge(endpoint.live.bridge)
            network.join(Member(container, endpoint.live, self._names(container, endpoint, network)))
        published = network_ports.from_record(record)
        if published:
            self._held[container.id] = self._ports.hold_again(published)
            gateway = self._gateway_endpoint(container)
            live = gateway.live if gateway else None
            if live is not None:
                self._forwards[container.id] = self._ports.serve(published, live.ipv4, live.ipv6)

    async def restore(self) -> None:
        """Gives the containers that were adopted what they lack: links, and somebody who answers for names."""
        names = await asyncio.to_thread(self._networks.bridges.names)
        for container in self._containers:
            if not container.running:
                self.end(container)  # what a start that was cut off had been given
                continue
            lost = self._lost(container, names)
            if lost or self._wants_resolver(container):
                await self._restore(container, lost)

    async def repair(self, gone: set[str]) -> None:
        """Makes links of running containers again that somebody has taken from the host."""
        for container in self._containers:
            if not container.running or not gone.intersection(self._host_links(container)):
                continue
            async with container.lock:
                names = await asyncio.to_thread(self._networks.bridges.names)
                if lost := self._lost(container, names):
                    await self._restore(container, lost)

    async def _restore(self, container: Container, lost: list[Endpoint]) -> None:
        if lost:
            _log.warning("container %s: links are gone, and made again: %d", container.id, len(lost))
        plan = NetworkPlan(
            links=tuple(self._link(container, endpoint) for endpoint in lost),
            gateways=self._gateways(container) if lost else (),
            resolver=self._wants_resolver(container) and container.id not in self._resolvers,
        )
        try:
            await self._change(container, plan)
        except CaisError as error:
            _log.error("container %s: its network is not whole: %s", container.id, error)

    @staticmethod
    def _host_links(container: Container) -> set[str]:
        lives = (endpoint.live for endpoint in container.record.endpoints.values())
        return {live.host_link for live in lives if live is not None and live.host_link}

    @staticmethod
    def _lost(container: Container, names: set[str]) -> list[Endpoint]:
        """The endpoints of a container, if it runs, whose links the host does not have."""
        if not container.running:
            return []
        return [
            endpoint
            for endpoint in container.record.endpoints.values()
            if endpoint.live is not None and endpoint.live.host_link and endpoint.live.host_link not in names
        ]

    async def connect(self, container: Container, network: Network, wanted: EndpointSettings) -> None:
        """Puts a container on a network more, at once where it runs. The caller holds its lock.

        Raises InvalidArgument, Forbidden, Conflict, and what the kernel has to say as Internal.
        """
        record = container.record
        self._check_connect(container, network)
        check_settings(network.name, wanted)
        check_addresses(network, wanted)
        endpoint = Endpoint(network_id=network.id, wanted=wanted)
        record.endpoints[network.name] = endpoint
        if not container.running:
            return
        earlier = self.surroundings(container)
        before = self._gateway_endpoint(container)
        try:
            self._attach(container, endpoint, network)
            plan = NetworkPlan(
                links=(self._link(container, endpoint),),
                gateways=self._gateways(container),
                resolver=self._wants_resolver(container) and container.id not in self._resolvers,
            )
            self._containers.save(container)
            await self._containers.flush()
            await self._change(container, plan)
        except BaseException:
            self._detach(container, endpoint)
            record.endpoints.pop(network.name, None)
            raise
        if self._gateway_endpoint(container) is not before:
            self._move_ports(container)
        await self._refresh(container, earlier)

    async def disconnect(self, container: Container, network: Network) -> None:
        """Takes a container off a network. The caller holds its lock. Raises InvalidArgument, Forbidden."""
        record = container.record
        if record.host_config.NetworkMode == "host" or network.name == "host":
            raise InvalidArgument(_HOST)
        endpoint = record.endpoints.get(network.name)
        if endpoint is None:
            raise Forbidden(f"container {record.id} is not connected to network {network.name}")
        earlier = self.surroundings(container) if container.running else None
        before = self._gateway_endpoint(container)
        live = endpoint.live
        del record.endpoints[network.name]
        self._detach(container, endpoint)
        if live is None or earlier is None or not container.running:
            return
        if live.host_link:
            await asyncio.to_thread(self._networks.bridges.remove, live.host_link)
        if before is endpoint:
            self._move_ports(container)
        await self._change(container, self._rerouting(container, [live] if live.link and not live.host_link else []))
        await self._refresh(container, earlier)

    def renamed(self, container: Container) -> None:
        """A container has another name: it answers to that one."""
        for name, endpoint in container.record.endpoints.items():
            network = self._networks.known(endpoint.network_id)
            if network is not None and network.name == name and container.id in network.members:
                network.rename(container.id, self._names(container, endpoint, network))

    def surroundings(self, container: Container) -> etcfiles.Surroundings:
        """What the files in a container's /etc say of its networks."""
        record = container.record
        mode = record.host_config.NetworkMode
        if mode == "host":
            return etcfiles.Surroundings(Kind.HOST)
        lives = [endpoint.live for endpoint in record.endpoints.values() if endpoint.live]
        gateway = self._gateway_endpoint(container)
        network = self._networks.known(gateway.network_id) if gateway else None
        host = list(network.gateways.values()) if network is not None else []
        return etcfiles.Surroundings(
            kind=Kind.RESOLVER if self._wants_resolver(container) else Kind.BRIDGE,
            addresses=[address for live in lives for address in (live.ipv4, live.ipv6) if address],
            host_addresses=host,
            links=self._links(container),
            reaches_ipv6=any(live.ipv6 for live in lives),
        )

    def link_variables(self, container: Container) -> list[str]:
        """What a container on the default bridge is told in its environment of those that it is linked to."""
        return [item for link in self._links(container) for item in link.variables]

    def _links(self, container: Container, *, starting: bool = False) -> list[etcfiles.Link]:
        """The containers that one on the default bridge knows by names of its own; elsewhere the resolver has them.

        Raises Conflict, when the container is starting, for one that does not run; else it is left out.
        """
        found: list[etcfiles.Link] = []
        if "bridge" not in container.record.endpoints:
            return found
        for link in container.record.host_config.Links or ():
            name, alias = joining.link_parts(link)
            other = self._containers.find_or_none(name)
            endpoint = self._bridged(other) if other is not None else None
            if other is None or endpoint is None or endpoint.live is None:
                if not starting:
                    continue
                raise Conflict(f"Cannot link to a non running container: /{name} AS /{container.name}/{alias}")
            addresses = [endpoint.live.ipv4] if endpoint.live.ipv4 else []
            config = other.record.config
            told = link_variables.variables(
                f"/{container.name}/{alias}", endpoint.live.ipv4, network_ports.exposed(config), config.Env or ()
            )
            found.append(etcfiles.Link(alias, other.name, config.Hostname, addresses, told))
        return found

    def _bridged(self, container: Container) -> Endpoint | None:
        """What a container has on the default bridge, by itself or through another whose network it shares."""
        try:
            return joining.network_owner(container, self._containers).record.endpoints.get("bridge")
        except NotFound:
            return None

    # Steps

    def _attach(self, container: Container, endpoint: Endpoint, network: Network) -> None:
        """Gives a container what it has on one network. Raises Forbidden, Conflict, InvalidArgument."""
        wanted = endpoint.wanted
        if network.id in {known.network_id for known in container.record.endpoints.values() if known.live}:
            raise Forbidden(f"endpoint with name {container.name} already exists in network {network.name}")
        live = Attached(endpoint_id=secrets.token_hex(32))
        if network.record.driver not in {"host", "null"}:
            check_addresses(network, wanted)
            link_local(wanted)
            if network.record.driver == "bridge":
                live.host_link = f"veth{secrets.token_hex(4)[:7]}"
                live.bridge = self._bridge(network)
            live.ipv4, live.ipv6 = self._addresses(network, wanted)
            live.mac = wanted.MacAddress or self._own_mac(container, network) or ipam.mac_of(live.ipv4 or live.ipv6)
            live.link = self._link_name(container, network)
        endpoint.live, endpoint.network_id = live, network.id
        network.join(Member(container, live, self._names(container, endpoint, network)))
        self._emit(network, "connect", container)

    def _bridge(self, network: Network) -> str:
        """A bridge of the network that has room. Raises Conflict, Internal."""
        if not network.free_bridge():
            self._networks.extend(network)
        return network.free_bridge()

    def _detach(self, container: Container, endpoint: Endpoint) -> None:
        if endpoint.live is None:
            return
        endpoint.live = None
        network = self._networks.known(endpoint.network_id)
        if network is not None and container.id in network.members:
            network.leave(container.id)
            self._emit(network, "disconnect", container)

    def _addresses(self, network: Network, wanted: EndpointSettings) -> tuple[str, str]:
        """The addresses, the wanted ones where they are named. Raises Forbidden, Conflict."""
        asked = wanted.IPAMConfig or {}
        found = {4: "", 6: ""}
        try:
            for version, pool in network.pools.items():
                address = asked.get(f"IPv{version}Address") or ""
                if address:
                    pool.take(address)
                found[version] = str(ip_address(address)) if address else pool.take_next()
        except CaisError:
            for version, address in found.items():
                if address:
                    network.pools[version].give_back(address)
            raise
        return found[4], found[6]

    @staticmethod
    def _own_mac(container: Container, network: Network) -> str:
        """The MAC address that was given to the container as a whole: it counts for its first network."""
        given = container.record.config.MacAddress
        first = next(iter(container.record.endpoints), "")
        return given if isinstance(given, str) and first == network.name else ""

    @staticmethod
    def _link_name(container: Container, network: Network) -> str:
        prefix = network.record.options.get(LINK_PREFIX) or "eth"
        used = {endpoint.live.link for endpoint in container.record.endpoints.values() if endpoint.live}
        return next(f"{prefix}{number}" for number in range(len(used) + 1) if f"{prefix}{number}" not in used)

    @staticmethod
    def _names(container: Container, endpoint: Endpoint, network: Network) -> tuple[str, ...]:
        if not network.record.user_defined:
            return ()
        return tuple(dict.fromkeys(name.lower() for name in names_of(container, endpoint)))

    def _link(self, container: Container, endpoint: Endpoint) -> Link:
        """What is to be made for an endpoint. Who publishes ports may reach itself by them."""
        network, live = self._networks.find(endpoint.network_id), endpoint.live
        if live is None:
            raise Internal(f"nothing is known of the endpoint on network {network.name}")
        record = network.record
        addresses = [
            network.pools[version].with_length(address)
            for version, address in ((4, live.ipv4), (6, live.ipv6))
            if address
        ]
        further = link_local(endpoint.wanted)
        default_mode = {"macvlan": "bridge", "ipvlan": "l2"}.get(record.driver, "")
        return Link(
            name=live.link,
            host_name=live.host_link,
            parent=live.bridge or record.link,
            mac=live.mac,
            addresses=(*addresses, *further),
            mtu=record.mtu,
            ipv6=bool(live.ipv6) or any(":" in address for address in further),
            hairpin=container.id in self._forwards,
            isolated=isolated(network),
            kind="veth" if record.driver == "bridge" else record.driver,
            mode=record.options.get(f"{record.driver}_mode") or default_mode,
        )

    def _gateway_endpoint(self, container: Container, version: int = 4) -> Endpoint | None:
        """The endpoint by which a container reaches what is on none of its networks."""
        candidates = []
        for name, endpoint in container.record.endpoints.items():
            network = self._networks.known(endpoint.network_id)
            if network is None or endpoint.live is None or network.record.internal or version not in network.gateways:
                continue
            candidates.append((-endpoint.wanted.GwPriority, name, endpoint))
        return min(candidates, key=lambda item: item[:2])[2] if candidates else None

    def _gateways(self, container: Container) -> tuple[str, ...]:
        found = []
        for version in (4, 6):
            endpoint = self._gateway_endpoint(container, version)
            if endpoint is None or endpoint.live is None:
                continue
            network = self._networks.find(endpoint.network_id)
            layer3 = network.record.driver == "ipvlan" and network.record.options.get("ipvlan_mode", "l2") != "l2"
            found.append(f"dev{version} {endpoint.live.link}" if layer3 else network.gateways[version])
        return tuple(found)

    def _rerouting(self, container: Container, lost: Iterable[Attached]) -> NetworkPlan:
        """The default routes as they should be, after a network has gone; `lost`: links that are still to go."""
        missing = tuple(version for version in (4, 6) if self._gateway_endpoint(container, version) is None)
        return NetworkPlan(
            gateways=self._gateways(container),
            drop_routes=missing,
            drop_links=tuple(live.link for live in lost),
        )

    async def _change(self, container: Container, plan: NetworkPlan) -> None:
        """Carries out a plan in a running container. Raises Internal."""
        try:
            namespace = os.open(f"/proc/{container.record.state.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Conflict(f"container {container.id} is not running: {reason(error)}") from error
        try:
            sockets = await self._runtime.change_network(namespace, plan)
        except StartFailed as error:
            raise Internal(error.message) from error
        finally:
            os.close(namespace)
        if len(sockets) == 2:
            self._resolve(container, *sockets)

    async def _refresh(self, container: Container, earlier: etcfiles.Surroundings) -> None:
        """Says in the files of a running container's /etc what its networks are now, and to its resolver."""
        resolver = self._resolvers.get(container.id)
        if resolver is not None:
            resolver.internal = self._is_internal(container)
        record, now = container.record, self.surroundings(container)
        folder = self._containers.folder(record.id)
        try:
            await asyncio.to_thread(etcfiles.refresh, record, folder, earlier, now)
        except (OSError, CaisError) as error:
            _log.warning("container %s: the files of its /etc stay as they are: %s", record.id, error)

    # Ports

    def _publish(self, container: Container) -> None:
        """Publishes what is to be published. Raises Internal."""
        endpoint = self._gateway_endpoint(container)
        live = endpoint.live if endpoint else None
        network = self._networks.known(endpoint.network_id) if endpoint else None
        if live is None or network is None or network.record.driver != "bridge":
            return
        binding = network.record.options.get(HOST_BINDING, "")
        wanted = network_ports.wanted(container.record, "" if binding == ANY4 else binding)
        if not wanted:
            return
        try:
            published = self._held[container.id] = self._ports.hold(wanted, self._ipv6)
            container.record.published = network_ports.to_record(published)
            self._forward(container, live)
        except (CaisError, OSError) as error:
            text = error.message if isinstance(error, CaisError) else reason(error)
            raise Internal(
                f"driver failed programming external connectivity on endpoint {container.name} "
                f"({live.endpoint_id}): {text}"
            ) from error

    def _forward(self, container: Container, live: Attached) -> None:
        """Has the firewall send what arrives at the container's ports to it. Raises OSError."""
        published = network_ports.from_record(container.record)
        forwards = self._ports.serve(published, live.ipv4, live.ipv6)
        self._networks.firewall.publish(forwards)
        self._forwards[container.id] = forwards
        self._forget_flows(forwards)

    def _withdraw(self, container: Container) -> None:
        forwards = self._forwards.pop(container.id, [])
        try:
            self._networks.firewall.withdraw(forwards)
        except OSError as error:
            _log.error("container %s: its ports are still published: %s", container.id, reason(error))
        self._forget_flows(forwards)
        self._ports.release(self._held.pop(container.id, []))
        container.record.published = []

    def _forget_flows(self, forwards: list[Forward]) -> None:
        if any(forward.protocol == "udp" for forward in forwards):
            work = asyncio.to_thread(self._networks.firewall.forget, forwards)
            self._tasks.start(work, "forget flows of datagrams")

    def _move_ports(self, container: Container) -> None:
        """The way out of a running container has changed: what is published leads to it there."""
        self._withdraw(container)
        try:
            self._publish(container)
        except CaisError as error:
            _log.error("container %s: %s", container.id, error)

    # Checks

    @staticmethod
    def _check_connect(container: Container, network: Network) -> None:
        hc, record = container.record.host_config, container.record
        if network.name == "host":
            raise InvalidArgument(_HOST)
        if hc.NetworkMode == "host" or joining.partner(hc.NetworkMode):
            raise InvalidArgument(SHARED)
        if network.name == "none" or "none" in record.endpoints:
            raise InvalidArgument(PRIVATE)
        if network.name in record.endpoints:
            raise Forbidden(f"endpoint with name {container.name} already exists in network {network.name}")
        if container.removing or container.removed:
            raise Conflict("container is marked for removal and cannot be connected or disconnected to the network")

    def _wants_resolver(self, container: Container) -> bool:
        """Whether the container is on a network of the user's: those have names."""
        for endpoint in container.record.endpoints.values():
            network = self._networks.known(endpoint.network_id)
            if network is not None and endpoint.live is not None and network.record.user_defined:
                return True
        return False

    def _is_internal(self, container: Container) -> bool:
        """Whether the container can reach nothing but its networks."""
        return self._gateway_endpoint(container) is None and self._gateway_endpoint(container, 6) is None

    def _is_inside(self, address: str) -> bool:
        """Whether an address is one of an internal network."""
        return any(
            network.record.internal and address.partition("%")[0] in pool
            for network in self._networks
            for pool in network.pools.values()
        )

    def _emit(self, network: Network, action: str, container: Container) -> None:
        self._events.emit("network", action, network.id, network.event_attributes(container=container.id))
