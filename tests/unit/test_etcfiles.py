from pathlib import Path
from typing import Any

import pytest

from cais.engine import etcfiles
from tests.unit.test_spec import _record


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "hosts").write_text("10.1.1.1\tquay\n")
    (folder / "resolv.conf").write_text("# mine\nnameserver 10.0.0.53\nsearch host.example\noptions ndots:2\n")
    return folder


def _write(tmp_path: Path, etc: Path, **host_config: Any) -> tuple[str, str, str]:
    files = etcfiles.write(_record(host_config), tmp_path, etc)
    return tuple(Path(path).read_text() for path in (files.hosts, files.hostname, files.resolv_conf))  # type: ignore[return-value]


def test_the_files_of_a_container(tmp_path: Path, etc: Path) -> None:
    hosts, hostname, resolv_conf = _write(tmp_path, etc)
    assert hosts.splitlines()[0] == "127.0.0.1\tlocalhost"
    assert "10.1.1.1" not in hosts
    assert hostname == "a" * 12 + "\n"
    assert resolv_conf == (etc / "resolv.conf").read_text()
    assert (tmp_path / "hosts").stat().st_mode & 0o777 == 0o644


def test_the_host_s_network_has_the_host_s_names(tmp_path: Path, etc: Path) -> None:
    assert _write(tmp_path, etc, NetworkMode="host")[0] == "10.1.1.1\tquay\n"


def test_more_names(tmp_path: Path, etc: Path) -> None:
    hosts = _write(tmp_path, etc, ExtraHosts=["db:10.0.0.5", "six:[fe80::1]"])[0]
    assert hosts.endswith("10.0.0.5\tdb\nfe80::1\tsix\n")


def test_own_name_servers_replace_the_host_s(tmp_path: Path, etc: Path) -> None:
    resolv_conf = _write(tmp_path, etc, Dns=["1.1.1.1", "::1"], DnsSearch=["a.example"])[2]
    assert resolv_conf.splitlines() == [
        "# mine", "options ndots:2", "nameserver 1.1.1.1", "nameserver ::1", "search a.example",
    ]  # fmt: skip
    assert "search" not in _write(tmp_path, etc, DnsSearch=["."])[2]


def test_a_host_without_the_files(tmp_path: Path) -> None:
    assert _write(tmp_path, tmp_path / "none")[2] == ""


def test_what_a_container_wrote_is_written_anew(tmp_path: Path, etc: Path) -> None:
    _write(tmp_path, etc)
    (tmp_path / "hosts").write_text("x" * 10_000)
    assert len(_write(tmp_path, etc)[0]) < 1000


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, etc: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "hosts").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        _write(tmp_path, etc)
    assert victim.read_text() == "kept"
