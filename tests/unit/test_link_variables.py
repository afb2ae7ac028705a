"""What the variables of a link say of the other container."""

from cais.engine.link_variables import variables


def test_a_container_without_ports_is_told_by_its_name_and_variables() -> None:
    environment = ["FOO=a=b", "HOME=/root", "PATH=/bin", "EMPTY=", "NONE"]
    assert variables("/web/my-db.x", "172.17.0.2", [], environment) == [
        "MY_DB.X_NAME=/web/my-db.x",
        "MY_DB.X_ENV_FOO=a=b",
        "MY_DB.X_ENV_EMPTY=",
    ]


def test_ports_are_told_one_by_one_and_first_the_lowest_of_tcp() -> None:
    found = variables("/web/db", "172.17.0.2", [(53, "udp"), (6379, "tcp"), (80, "tcp")], [])
    assert found[0] == "DB_PORT=tcp://172.17.0.2:80"
    assert found[1:5] == [
        "DB_PORT_80_TCP=tcp://172.17.0.2:80",
        "DB_PORT_80_TCP_ADDR=172.17.0.2",
        "DB_PORT_80_TCP_PORT=80",
        "DB_PORT_80_TCP_PROTO=tcp",
    ]
    assert "DB_PORT_53_UDP=udp://172.17.0.2:53" in found
    assert len(found) == 1 + 3 * 4 + 1


def test_ports_that_follow_each_other_are_told_as_a_range_too() -> None:
    ports = [(82, "tcp"), (80, "tcp"), (81, "tcp"), (83, "udp"), (90, "udp"), (91, "udp")]
    found = [item for item in variables("/w/db", "10.0.0.2", ports, []) if "_START" in item or "_END" in item]
    assert found == [
        "DB_PORT_80_TCP_START=tcp://10.0.0.2:80",
        "DB_PORT_80_TCP_PORT_START=80",
        "DB_PORT_80_TCP_END=tcp://10.0.0.2:82",
        "DB_PORT_80_TCP_PORT_END=82",
        "DB_PORT_90_UDP_START=udp://10.0.0.2:90",
        "DB_PORT_90_UDP_PORT_START=90",
        "DB_PORT_90_UDP_END=udp://10.0.0.2:91",
        "DB_PORT_90_UDP_PORT_END=91",
    ]
