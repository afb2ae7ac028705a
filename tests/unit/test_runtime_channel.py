"""Messages with descriptors over a stream socket."""

import json
import os
import resource
import select
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.runtime.channel import Channel, ChannelClosed, in_folder, pair


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    one, other = (Channel(connection) for connection in pair())
    yield one, other
    one.close()
    other.close()


def open_files() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def raw(message: bytes) -> bytes:
    return struct.pack("!I", len(message)) + message


def test_messages_arrive_whole_and_in_order(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    for number in range(50):
        one.send({"type": "x", "number": number, "text": "é\ud800" * number})
    assert [other.receive()[0]["number"] for _ in range(25)] == list(range(25))
    messages = other.receive_available()
    assert [message["number"] for message, _ in messages] == list(range(25, 50))
    assert messages[-1][0]["text"] == "é\ud800" * 49
    assert other.receive_available() == []


def test_descriptors_travel_with_their_message(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    reader, writer = os.pipe()
    one.send({"type": "none"})
    one.send({"type": "one"}, [writer])
    one.post({"type": "none"})
    one.post({"type": "three"}, [writer, reader, writer])
    received = other.receive_available()
    assert [(message["type"], len(fds)) for message, fds in received] == [
        ("none", 0), ("one", 1), ("none", 0), ("three", 3),
    ]  # fmt: skip
    assert all("fds" not in message for message, _ in received)
    os.close(writer)
    first, second, other_reader, third = received[1][1] + received[3][1]
    for number, fd in enumerate((first, second, third)):
        assert not os.get_inheritable(fd)
        os.write(fd, bytes([number]))
        os.close(fd)
    assert os.read(other_reader, 10) == b"\x00\x01\x02"
    os.close(other_reader)
    os.close(reader)


def test_the_sender_keeps_its_descriptors(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    reader, writer = os.pipe()
    before = open_files()
    one.send({"type": "x"}, [writer])
    one.post({"type": "x"}, [writer])
    assert open_files() == before
    for _, (fd,) in other.receive_available():
        os.close(fd)
    os.close(reader)
    os.close(writer)


def test_a_message_that_comes_in_pieces_is_put_together(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    data = raw(b'{"type": "x", "text": "' + b"y" * 100 + b'"}')
    for byte in data[:-1]:
        one.socket.send(bytes([byte]))
        assert other.receive_available() == []
    one.socket.send(data[-1:] + raw(b'{"type": "z"}'))
    assert [message["type"] for message, _ in other.receive_available()] == ["x", "z"]


@pytest.mark.parametrize("size", [100, 300_000, 5_000_000])
def test_a_large_message_is_sent_while_the_other_side_reads(channels: tuple[Channel, Channel], size: int) -> None:
    one, other = channels
    reader, writer = os.pipe()
    sender = threading.Thread(target=one.send, args=({"type": "x", "text": "y" * size}, [writer]))
    sender.start()
    message, (fd,) = other.receive()
    sender.join()
    assert message["text"] == "y" * size
    for each in (fd, reader, writer):
        os.close(each)


def test_what_the_socket_does_not_take_is_sent_later(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    reader, writer = os.pipe()
    before = open_files()
    sent = [one.post({"number": number, "text": "y" * 50_000}, [writer]) for number in range(40)]
    assert sent[0]
    assert not sent[-1]
    assert len(open_files()) > len(before)  # copies wait with their messages
    received: list[tuple[dict[str, Any], list[int]]] = []
    while len(received) < 40:
        received += other.receive_available()
        one.flush()
    assert one.flush()
    assert [message["number"] for message, _ in received] == list(range(40))
    for _, fds in received:
        assert len(fds) == 1
        os.close(fds[0])
    assert open_files() == before
    os.close(reader)
    os.close(writer)


def test_posting_never_waits_and_the_order_is_kept(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    for number in range(3000):
        one.post({"number": number, "text": "y" * 1000})
    received: list[int] = []
    while len(received) < 3000:
        received += [message["number"] for message, _ in other.receive_available()]
        one.flush()
    assert received == list(range(3000))


def test_the_end_is_told_after_the_last_message(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    one.send({"type": "last"})
    one.close()
    assert other.receive_available() == [({"type": "last"}, [])]
    for receive in (other.receive_available, other.receive):
        with pytest.raises(ChannelClosed):
            receive()
    for send in (other.send, other.post):
        with pytest.raises(ChannelClosed):
            send({"type": "x"})


def test_half_a_message_at_the_end_is_the_end(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    one.socket.send(raw(b'{"type": "x"}')[:-1])
    one.close()
    with pytest.raises(ChannelClosed):
        other.receive()


def test_a_reset_is_an_end(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    other.send({"type": "never read"})
    one.send({"type": "last"})
    one.close()
    assert other.receive()[0] == {"type": "last"}
    with pytest.raises(ChannelClosed):
        other.receive()


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", 0xFFFFFFFF),
        struct.pack("!I", 64 * 1024 * 1024 + 1) + b"{",
        raw(b""),
        raw(b"{"),
        raw(b"[]"),
        raw(b"5"),
        raw(b"\xff\xff\xff"),
        raw(b"[" * 100_000),
    ],
)
def test_what_is_no_message_ends_the_channel(channels: tuple[Channel, Channel], data: bytes) -> None:
    one, other = channels
    one.socket.sendall(data)
    with pytest.raises(ChannelClosed):
        other.receive()


def test_a_receiver_that_may_open_no_more_gets_the_message_without(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    fds = [os.dup(0) for _ in range(3)]
    one.send({"type": "many"}, fds)
    one.send({"type": "one"}, fds[:1])
    highest = max(map(int, open_files()))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
    fillers = []
    try:
        while True:
            try:
                fillers.append(os.dup(0))
            except OSError:
                break
        message, received = other.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (message, received) == ({"type": "many"}, [])
    message, received = other.receive()  # those of another message are not taken for its own
    assert message == {"type": "one"}
    for fd in (*fds, *fillers, *received):
        os.close(fd)


def test_closing_closes_what_nobody_took() -> None:
    before = open_files()
    one, other = (Channel(connection) for connection in pair())
    reader, writer = os.pipe()
    one.send({"type": "x"}, [reader, writer])
    one.send({"type": "y"}, [reader])
    for fd in other.receive()[1]:
        os.close(fd)
    for _ in range(30):
        one.post({"text": "y" * 50_000}, [writer])
    one.close()
    other.close()
    os.close(reader)
    os.close(writer)
    assert open_files() == before


def test_waiting_is_the_call_s_affair_and_not_the_socket_s(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    other.socket.setblocking(True)
    assert other.receive_available() == []
    timer = threading.Timer(0.05, one.send, [{"type": "late"}])
    timer.start()
    assert other.receive()[0] == {"type": "late"}
    timer.join()


def test_a_selector_can_wait_for_a_channel(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    assert select.select([other], [], [], 0)[0] == []
    one.send({"type": "x"})
    assert select.select([other], [], [], 0)[0] == [other]


def test_a_socket_can_be_bound_and_found_in_a_folder_with_a_long_name(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("x" * 100) / ("y" * 100)
    folder.mkdir()
    listener, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    before = open_files()
    with in_folder(str(folder), "monitor.sock") as address:
        listener.bind(address)
        listener.listen(1)
        client.connect(address)
    assert os.listdir(folder) == ["monitor.sock"]
    assert open_files() == before
    listener.close()
    client.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    messages=st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=4), max_size=6), cuts=st.lists(st.integers(1))
)
def test_any_messages_arrive_however_the_stream_is_cut(messages: list[dict[str, Any]], cuts: list[int]) -> None:
    for message in messages:
        message.pop("fds", None)
    data = b"".join(raw(json.dumps(message).encode()) for message in messages)
    connection, other_connection = pair()
    with connection, other_connection:
        other = Channel(other_connection)
        received: list[dict[str, Any]] = []
        for cut in [*(cut % 50 + 1 for cut in cuts), len(data)]:
            connection.sendall(data[:cut])
            data = data[cut:]
            received += [message for message, _ in other.receive_available()]
        assert received == messages


def test_hanging_up_is_noticed_though_a_copy_of_the_socket_is_left(channels: tuple[Channel, Channel]) -> None:
    """As it is in a process that was forked meanwhile. What was sent before arrives."""
    one, other = channels
    copy = os.dup(one.fileno())
    try:
        one.send({"type": "last"})
        one.hang_up()
        assert other.receive()[0] == {"type": "last"}
        with pytest.raises(ChannelClosed):
            other.receive()
    finally:
        os.close(copy)
