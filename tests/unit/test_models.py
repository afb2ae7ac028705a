import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.engine.models import (
    NEVER,
    ContainerConfig,
    CreateRequest,
    HostConfig,
    Record,
    State,
    Status,
    decode_record,
    encode_record,
    strings,
    timestamp,
)
from cais.engine.times import parse_time_ns


def _record() -> Record:
    return Record(
        id="a" * 64,
        name="web",
        created_ns=1,
        image_id="sha256:b",
        path="sh",
        args=["-c", "x"],
        config=ContainerConfig(Image="busybox", Labels={"a": "b"}),
        host_config=HostConfig(Memory=7),
        state=State(status=Status.EXITED, exit_code=3),
    )


def test_a_record_comes_back_as_it_was_stored() -> None:
    assert decode_record(encode_record(_record())) == _record()


def test_a_record_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    stored = msgspec.json.decode(encode_record(_record()))
    stored |= {"version": 99, "something": {"new": True}}
    stored["config"]["More"] = 1
    assert decode_record(msgspec.json.encode(stored)).name == "web"


@pytest.mark.parametrize("stored", [b"", b"{", b"{}", b"[]", b'{"id":1}'])
def test_what_is_no_record_is_refused(stored: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_record(stored)


def test_a_request_is_taken_apart() -> None:
    request = msgspec.convert(
        {"Image": "x", "Cmd": "true", "HostConfig": {"LogConfig": {"Type": "none"}}}, CreateRequest
    )
    assert request.host_config.log_config.Type == "none"
    assert type(request.config()) is ContainerConfig
    assert strings(request.Cmd) == ["true"]


def test_a_host_config_is_shown_in_full() -> None:
    shown = msgspec.json.decode(msgspec.json.encode(HostConfig()))
    assert shown["LogConfig"] == {"Type": "", "Config": {}}
    assert shown["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert shown["ConsoleSize"] == [0, 0]
    assert "Init" not in shown
    assert len(shown) > 55


def test_a_time_as_docker_writes_it() -> None:
    assert timestamp(0) == NEVER
    assert timestamp(1_700_000_000_000_000_000) == "2023-11-14T22:13:20Z"
    assert timestamp(1_700_000_000_120_000_000) == "2023-11-14T22:13:20.12Z"


@given(st.integers(min_value=1, max_value=4_000_000_000 * 10**9))
def test_a_time_that_is_written_can_be_read(time_ns: int) -> None:
    assert parse_time_ns(timestamp(time_ns)) == time_ns
