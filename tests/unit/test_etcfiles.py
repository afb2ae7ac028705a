import os
from pathlib import Path
from typing import Any

import pytest

from cais.engine import etcfiles
from cais.engine.etcfiles import Link, Surroundings
from cais.engine.resolvconf import Kind
from tests.unit.test_spec import _record

LOCALHOST = [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "etc"
    folder.mkdir(parents=True)
    (folder / "hosts").write_text("10.1.1.1\tquay\n")
    (folder / "resolv.conf").write_text("# mine\nnameserver 10.0.0.53\nsearch host.example\noptions ndots:2\n")
    return folder.parent


def _write(tmp_path: Path, root: Path, around: Surroundings | None = None, **host_config: Any) -> tuple[str, str, str]:
    files = etcfiles.write(_record(host_config), tmp_path, around, root)
    return tuple(Path(path).read_text() for path in (files.hosts, files.hostname, files.resolv_conf))  # type: ignore[return-value]


def _hosts(
    around: Surroundings, *, hostname: str = "web", domainname: str = "", ExtraHosts: list[str] | None = None
) -> list[str]:
    record = _record(Hostname=hostname, Domainname=domainname)
    record.host_config.ExtraHosts = ExtraHosts
    return etcfiles.hosts(record, around, "10.1.1.1\tquay\n").splitlines()


def test_the_files_of_a_container(tmp_path: Path, root: Path) -> None:
    hosts, hostname, resolv_conf = _write(tmp_path, root)
    assert hosts.splitlines() == LOCALHOST
    assert hostname == "a" * 12 + "\n"
    assert "\nnameserver 10.0.0.53\nsearch host.example\noptions ndots:2\n" in resolv_conf
    assert (tmp_path / "hosts").stat().st_mode & 0o777 == 0o644


def test_the_host_s_network_has_the_host_s_names(tmp_path: Path, root: Path) -> None:
    assert _write(tmp_path, root, NetworkMode="host")[0] == "10.1.1.1\tquay\n"


def test_more_names_take_the_place_of_the_host_s(tmp_path: Path, root: Path) -> None:
    hosts = _write(tmp_path, root, NetworkMode="host", ExtraHosts=["db:10.0.0.5"])[0]
    assert hosts.splitlines() == [*LOCALHOST, "10.0.0.5\tdb"]


def test_more_names(tmp_path: Path, root: Path) -> None:
    hosts = _write(tmp_path, root, ExtraHosts=["db:10.0.0.5", "six:[fe80::1]", "seven:fe80::2"])[0]
    assert hosts.endswith("10.0.0.5\tdb\nfe80::1\tsix\nfe80::2\tseven\n")


def test_own_addresses_come_last_with_whole_and_bare_name() -> None:
    around = Surroundings(addresses=["172.17.0.2", "fd00::2"])
    assert _hosts(around)[-2:] == ["172.17.0.2\tweb", "fd00::2\tweb"]
    assert _hosts(around, hostname="web.a.example")[-2] == "172.17.0.2\tweb.a.example web"
    assert _hosts(around, domainname="a.example")[-2] == "172.17.0.2\tweb.a.example web"


def test_the_host_has_a_name() -> None:
    around = Surroundings(addresses=["172.17.0.2"], host_addresses=["172.17.0.1", "fd00::1"])
    assert _hosts(around)[6:] == [
        "172.17.0.1\thost.docker.internal",
        "fd00::1\thost.docker.internal",
        "172.17.0.2\tweb",
    ]
    assert _hosts(around, ExtraHosts=["gate:host-gateway"])[6:8] == ["172.17.0.1\tgate", "fd00::1\tgate"]


def test_the_host_s_name_may_be_given_to_another() -> None:
    around = Surroundings(host_addresses=["172.17.0.1"])
    assert _hosts(around, ExtraHosts=["Host.docker.internal:10.0.0.9"])[6:] == ["10.0.0.9\tHost.docker.internal"]


def test_links_are_names_on_the_default_bridge() -> None:
    around = Surroundings(
        links=[Link("db", "db", "1234", ["172.17.0.3"]), Link("al", "db", "h", ["172.17.0.3", "fd00::3"])]
    )
    assert _hosts(around, ExtraHosts=["x:1.2.3.4"])[6:] == [
        "1.2.3.4\tx",
        "172.17.0.3\tdb 1234",
        "172.17.0.3\tal h db",
        "fd00::3\tal h db",
    ]


def test_without_ipv6_there_are_no_names_for_it() -> None:
    around = Surroundings(addresses=["172.17.0.2", "fd00::2"], ipv6=False)
    assert _hosts(around, ExtraHosts=["six:fe80::1"]) == [LOCALHOST[0], "172.17.0.2\tweb"]


def test_own_name_servers_replace_the_host_s(tmp_path: Path, root: Path) -> None:
    resolv_conf = _write(tmp_path, root, Dns=["1.1.1.1", "::1"], DnsSearch=["a.example"])[2]
    assert "\nnameserver 1.1.1.1\nnameserver ::1\nsearch a.example\noptions ndots:2\n" in resolv_conf


def test_a_resolver_in_place_of_name_servers(tmp_path: Path, root: Path) -> None:
    around = Surroundings(Kind.RESOLVER)
    assert "\nnameserver 127.0.0.11\n" in _write(tmp_path, root, around)[2]
    assert etcfiles.resolv_conf(_record(), around, root).upstreams == ("10.0.0.53",)


def test_a_host_without_the_files(tmp_path: Path) -> None:
    assert "nameserver 8.8.8.8\n" in _write(tmp_path, tmp_path / "none")[2]
    assert _write(tmp_path, tmp_path / "none", NetworkMode="host")[0] == ""


def test_what_a_container_wrote_is_written_anew_in_the_same_file(tmp_path: Path, root: Path) -> None:
    _write(tmp_path, root)
    inode = (tmp_path / "hosts").stat().st_ino
    (tmp_path / "hosts").write_text("x" * 10_000)
    assert len(_write(tmp_path, root)[0]) < 1000
    assert (tmp_path / "hosts").stat().st_ino == inode


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path, root: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "hosts").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        _write(tmp_path, root)
    for change in (etcfiles.add_lines, etcfiles.remove_lines):
        with pytest.raises(OSError, match="symbolic links"):
            change(str(tmp_path / "hosts"), ["1.2.3.4\tx\n"])
    assert victim.read_text() == "kept"


def test_lines_come_and_go_with_networks(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1\tlocalhost\n10.0.0.2\tmine")
    inode = path.stat().st_ino
    lines = etcfiles.own_lines(_record(Hostname="web"), ["10.0.0.2", "10.0.1.2"])
    etcfiles.add_lines(str(path), lines)
    assert path.read_text() == "127.0.0.1\tlocalhost\n10.0.0.2\tmine\n10.0.0.2\tweb\n10.0.1.2\tweb\n"
    etcfiles.remove_lines(str(path), lines[:1])
    assert path.read_text() == "127.0.0.1\tlocalhost\n10.0.0.2\tmine\n10.0.1.2\tweb\n"
    assert path.stat().st_ino == inode


def test_files_of_a_running_container_follow_its_networks(tmp_path: Path) -> None:
    record = _record(Hostname="web")
    before = Surroundings(addresses=["10.0.0.2"], host_addresses=["10.0.0.1"])
    after = Surroundings(Kind.RESOLVER, addresses=["10.0.1.2"], host_addresses=["10.0.1.1"])
    files = etcfiles.write(record, tmp_path, before)
    etcfiles.add_lines(files.hosts, ["10.0.0.9\tmine\n"])
    etcfiles.refresh(record, tmp_path, before, after)
    added = ["10.0.0.9\tmine", "10.0.1.1\thost.docker.internal", "10.0.1.2\tweb"]
    assert Path(files.hosts).read_text().splitlines() == [*LOCALHOST, *added]
    assert "\nnameserver 127.0.0.11\n" in Path(files.resolv_conf).read_text()
    Path(files.resolv_conf).write_text("# mine\n")
    etcfiles.refresh(record, tmp_path, after, before)
    assert Path(files.resolv_conf).read_text() == "# mine\n"


def test_a_file_that_a_container_has_filled_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("10.0.0.2\tweb\n")
    os.truncate(path, 1 << 40)
    etcfiles.remove_lines(str(path), ["10.0.0.2\tweb\n"])
    assert not etcfiles.replace_text(str(path), "10.0.0.2\tweb\n", "")
    assert path.stat().st_size == 1 << 40


def test_a_text_is_replaced_unless_it_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("long before\r\n")
    assert etcfiles.replace_text(str(path), "long before\r\n", "after\n")
    assert path.read_text() == "after\n"
    assert not etcfiles.replace_text(str(path), "long before\r\n", "never")
    assert path.read_text() == "after\n"
