"""A network with more containers than a bridge has ports. A bridge of Linux has 1,024; the tests give it two."""

import asyncio

import pytest

from cais.engine import network as network_module
from cais.engine.engine import Engine
from cais.engine.models import CreateRequest, HostConfig
from cais.engine.network_models import NetworkRequest
from cais.engine.settings import Settings
from cais.errors import Conflict
from tests.harness.engine import Daemon
from tests.harness.lan import neighbour


async def _run(engine: Engine, name: str, network: str) -> None:
    request = CreateRequest(Image="busybox", Cmd=["sleep", "1000"], host_config=HostConfig(NetworkMode=network))
    container, _ = await engine.containers.create(request, name)
    await engine.lifecycle.start(container)


async def _inside(engine: Engine, name: str, *command: str) -> str:
    """What a program of this machine's prints in the network namespace of a container."""
    pid = engine.containers.find(name).record.state.pid
    process = await asyncio.create_subprocess_exec(
        "nsenter", "-t", str(pid), "-n", "timeout", "3", "busybox", *command,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    return (await process.communicate())[0].decode()


def _address(engine: Engine, name: str) -> str:
    (endpoint,) = engine.containers.find(name).record.endpoints.values()
    assert endpoint.live is not None
    return endpoint.live.ipv4


async def _all_reach_all(engine: Engine, names: list[str]) -> None:
    for name in names:
        for other in names:
            assert "1 packets received" in await _inside(
                engine, name, "ping", "-c", "1", "-W", "2", _address(engine, other)
            ), (name, other)
            assert f"Address: {_address(engine, other)}" in await _inside(
                engine, name, "nslookup", "-type=a", other, "127.0.0.11"
            ), (name, other)


async def test_all_containers_reach_each_other_and_the_world(
    private_caisd: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "PORTS", 2)
    private_caisd.stop()
    names = [f"c{number}" for number in range(5)]
    settings = Settings(private_caisd.data_root, private_caisd.exec_root)
    with neighbour() as lan:
        lan.serve(8000)
        async with Engine(settings) as engine:
            network = await engine.networks.create(NetworkRequest(Name="large"))
            for name in names:
                await _run(engine, name, "large")
            assert len(network.bridge_names()) == 3
            await _all_reach_all(engine, names)
            for name in names:
                assert lan.host == await _inside(engine, name, "wget", "-q", "-O", "-", f"http://{lan.address}:8000")
        async with Engine(settings) as engine:
            network = engine.networks.find("large")
            assert len(network.bridge_names()) == 3
            for name in network.bridge_names():
                await asyncio.to_thread(engine.networks.bridges.remove, name)
            await asyncio.sleep(1.0)
            await _all_reach_all(engine, names)
            for name in names:
                await engine.lifecycle.remove(engine.containers.find(name), force=True)
            await engine.networks.remove(network)


async def test_without_icc_there_is_an_end(private_caisd: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_module, "PORTS", 1)
    private_caisd.stop()
    async with Engine(Settings(private_caisd.data_root, private_caisd.exec_root)) as engine:
        options = {"com.docker.network.bridge.enable_icc": "false"}
        await engine.networks.create(NetworkRequest(Name="mute", Options=options))
        await _run(engine, "c1", "mute")
        with pytest.raises(Conflict, match="network mute has no port left for another container"):
            await _run(engine, "c2", "mute")
