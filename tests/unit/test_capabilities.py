import pytest

from cais.engine.capabilities import DEFAULT, check_available, effective, normalise
from cais.errors import InvalidArgument
from cais.linux.credentials import CAPABILITY_NAMES

EVERY = frozenset(CAPABILITY_NAMES)


def test_the_default_is_docker_s_fourteen() -> None:
    assert effective([], [], False, EVERY) == DEFAULT
    assert len(DEFAULT) == 14


def test_names_are_completed() -> None:
    assert normalise(["net_admin", "CAP_KILL", "all"], "CapAdd") == ["CAP_NET_ADMIN", "CAP_KILL", "ALL"]


@pytest.mark.parametrize("name", ["NOPE", "CAP_", "", "CAP_CAP_KILL", "KILL\n"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid CapDrop: unknown capability"):
        normalise([name], "CapDrop")


def test_adding_and_dropping() -> None:
    chosen = effective(["CAP_NET_ADMIN"], ["CAP_KILL"], False, EVERY)
    assert "CAP_NET_ADMIN" in chosen
    assert "CAP_KILL" not in chosen
    assert len(chosen) == 14


def test_all_but_some() -> None:
    assert set(effective(["ALL"], ["CAP_SYS_ADMIN"], False, EVERY)) == EVERY - {"CAP_SYS_ADMIN"}


def test_none_but_some() -> None:
    assert effective(["CAP_KILL"], ["ALL"], False, EVERY) == ("CAP_KILL",)
    assert effective([], ["ALL"], False, EVERY) == ()


def test_defaults_are_lowered_to_what_the_engine_has() -> None:
    some = EVERY - {"CAP_MKNOD", "CAP_SYS_RESOURCE"}
    assert "CAP_MKNOD" not in effective([], [], False, some)
    assert set(effective([], [], True, some)) == some
    assert set(effective(["ALL"], [], False, some)) == some


def test_what_is_named_must_be_had() -> None:
    check_available(["ALL", "CAP_KILL"], {"CAP_KILL"})
    with pytest.raises(InvalidArgument, match="CAP_SYS_RESOURCE"):
        check_available(["CAP_SYS_RESOURCE"], {"CAP_KILL"})
