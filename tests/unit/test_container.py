import asyncio
import socket

import pytest

from cais.engine.container import Condition, Container, WaitingClient
from cais.engine.models import ContainerConfig, HostConfig, Record, Status


def make_container(name: str = "web", **changes: object) -> Container:
    values = {
        "id": "ab" * 32, "name": name, "created_ns": 1, "image_id": "sha256:b", "path": "sh", "args": [],
        "config": ContainerConfig(Image="busybox", Labels={"a": "b"}), "host_config": HostConfig(NetworkMode="default"),
    }  # fmt: skip
    return Container(Record(**(values | changes)))  # type: ignore[arg-type]


async def test_one_that_does_not_run_has_ended_already() -> None:
    container = make_container()
    container.record.state.exit_code = 3
    assert container.wait(Condition.NOT_RUNNING).done()
    assert container.wait(Condition.NOT_RUNNING).result() == 3
    assert not container.wait(Condition.NEXT_EXIT).done()
    assert not container.wait(Condition.REMOVED).done()


async def test_one_that_runs_or_is_starting_is_waited_for() -> None:
    container = make_container()
    container.starting = True
    assert not container.wait(Condition.NOT_RUNNING).done()
    container.starting = False
    container.record.state.status = Status.RUNNING
    waiting = [container.wait(Condition.NOT_RUNNING), container.wait(Condition.NEXT_EXIT)]
    container.record.state.status = Status.EXITED
    container.record.state.exit_code = 7
    container.tell_exit()
    assert [future.result() for future in waiting] == [7, 7]


async def test_removal_answers_everyone() -> None:
    container = make_container()
    waiting = [container.wait(Condition.REMOVED), container.wait(Condition.NEXT_EXIT)]
    container.tell_removed()
    assert all(future.done() for future in waiting)
    assert container.wait(Condition.REMOVED).done()


async def test_who_gives_up_waiting_is_forgotten() -> None:
    container = make_container()
    future = container.wait(Condition.NEXT_EXIT)
    future.cancel()
    await asyncio.sleep(0)
    assert not container._exit_waiters
    container.tell_exit()


def test_what_its_events_tell() -> None:
    attributes = make_container().event_attributes(exitCode="0")
    assert attributes == {"a": "b", "image": "busybox", "name": "web", "exitCode": "0"}


def test_a_client_that_hung_up_does_not_wait_any_more() -> None:
    container = make_container()
    pairs = [socket.socketpair() for _ in range(3)]
    clients = [WaitingClient(near, True, True, True, True, b"") for near, _ in pairs]
    for client in clients[:2]:
        container.add_waiting_client(client)
    pairs[0][1].close()
    container.add_waiting_client(clients[2])
    assert container.waiting_clients == clients[1:]
    container.drop_waiting_clients()
    assert container.waiting_clients == []
    assert pairs[1][1].recv(1) == b""
    for near, far in pairs:
        near.close()
        far.close()


@pytest.mark.parametrize("removing", [True, False])
def test_the_state_that_is_shown(removing: bool) -> None:
    container = make_container()
    container.removing = removing
    assert container.status == ("removing" if removing else "created")
    container.record.state.status = Status.RUNNING
    assert container.status == "running"
