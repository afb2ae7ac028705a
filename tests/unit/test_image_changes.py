"""Changes to an image's configuration. The expectations are a real Docker's answers."""

import pytest

from cais.distribution.oci import ContainerConfig, Healthcheck
from cais.engine.image_changes import apply_changes
from cais.errors import InvalidArgument

SECOND = 1_000_000_000


def changed(*changes: str) -> ContainerConfig:
    return apply_changes(ContainerConfig(env=["PATH=/bin"]), changes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('CMD ["sh", "-c", "x"]', {"cmd": ["sh", "-c", "x"]}),
        ("CMD echo $PATH  'x'", {"cmd": ["/bin/sh", "-c", "echo $PATH  'x'"]}),
        ("CMD ['sh']", {"cmd": ["/bin/sh", "-c", "['sh']"]}),
        ("cmd []", {"cmd": None}),
        ("CMD", {"cmd": None}),
        ('ENTRYPOINT ["/x"]', {"entrypoint": ["/x"]}),
        ("ENTRYPOINT x", {"entrypoint": ["/bin/sh", "-c", "x"]}),
        ("ENTRYPOINT []", {"entrypoint": None}),
        ("ENV a=b", {"env": ["PATH=/bin", "a=b"]}),
        ("ENV a b c", {"env": ["PATH=/bin", "a=b c"]}),
        ('ENV a=b c="d e" f=g\\ h', {"env": ["PATH=/bin", "a=b", "c=d e", "f=g h"]}),
        ("ENV PATH=/new:$PATH", {"env": ["PATH=/new:/bin"]}),
        ("EXPOSE 80-82/udp 90", {"exposed_ports": {p: {} for p in ("80/udp", "81/udp", "82/udp", "90/tcp")}}),
        ("EXPOSE 8080:80 127.0.0.1:1-2:3-4/udp", {"exposed_ports": {p: {} for p in ("80/tcp", "3/udp", "4/udp")}}),
        ("EXPOSE [::1]::80 ::1:80:81 ::::82", {"exposed_ports": {p: {} for p in ("80/tcp", "81/tcp", "82/tcp")}}),
        ('LABEL a=b "c d"="e f"', {"labels": {"a": "b", "c d": "e f"}}),
        ("LABEL a b", {"labels": {"a": "b"}}),
        ("USER me:us", {"user": "me:us"}),
        ("USER a b", {"user": "a b"}),
        ("VOLUME /a /b", {"volumes": {"/a": {}, "/b": {}}}),
        ('VOLUME ["/a b"]', {"volumes": {"/a b": {}}}),
        ("WORKDIR a/../b", {"working_dir": "/b"}),
        ("WORKDIR /x y", {"working_dir": "/x y"}),
        ("STOPSIGNAL SIGINT", {"stop_signal": "SIGINT"}),
        ("ONBUILD RUN x", {"on_build": ["RUN x"]}),
        ("HEALTHCHECK NONE", {"healthcheck": Healthcheck(test=["NONE"])}),
        ("HEALTHCHECK CMD x y", {"healthcheck": Healthcheck(test=["CMD-SHELL", "x y"])}),
        (
            'HEALTHCHECK --interval=5s --timeout=1m --start-period=1h --start-interval=2s --retries=4 CMD ["x"]',
            {
                "healthcheck": Healthcheck(
                    ["CMD", "x"],
                    interval=5 * SECOND,
                    timeout=60 * SECOND,
                    start_period=3600 * SECOND,
                    start_interval=2 * SECOND,
                    retries=4,
                )
            },
        ),
    ],
)
def test_each_instruction_changes_its_part(change: str, expected: dict[str, object]) -> None:
    config = changed(change)
    for name, value in expected.items():
        assert getattr(config, name) == value


def test_changes_are_applied_in_order() -> None:
    config = changed("ENV A=1", "ENV A=2 B=$A", "WORKDIR /x", "WORKDIR y", "LABEL a=1", "LABEL a=2 b=3")
    assert config.env == ["PATH=/bin", "A=2", "B=1"]
    assert config.working_dir == "/x/y"
    assert config.labels == {"a": "2", "b": "3"}


def test_an_entry_point_takes_the_command_away_unless_it_was_given_here() -> None:
    base = ContainerConfig(cmd=["old"])
    assert apply_changes(base, ['ENTRYPOINT ["x"]']).cmd is None
    assert apply_changes(base, ['CMD ["new"]', 'ENTRYPOINT ["x"]']).cmd == ["new"]


def test_a_change_may_have_several_lines() -> None:
    config = changed("# a comment\nENV A=1 \\\n  B=2\n\nUSER me\r\n")
    assert config.env == ["PATH=/bin", "A=1", "B=2"]
    assert config.user == "me"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("FOO x", "foo is not a valid change command"),
        ("RUN x", "run is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("LABEL a", "LABEL must have two arguments"),
        ("ENV =x", "ENV names can not be blank"),
        ('ENV a=1 r\\"', 'Syntax error - can\'t find = in "r\\"". Must be of the form: name=value'),
        ("EXPOSE abc", "invalid containerPort: abc"),
        ("EXPOSE 0", "invalid containerPort: 0"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 80/xyz", "invalid proto: xyz"),
        ("EXPOSE x:80", "invalid hostPort: x"),
        ("EXPOSE localhost:80:80", "invalid IP address: localhost"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("STOPSIGNAL XX", "invalid signal: XX"),
        ("ONBUILD ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK --interval=1 CMD x", 'time: missing unit in duration "1"'),
        ("HEALTHCHECK --interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=x CMD x", "--retries must be at least 0 (not x)"),
        ("HEALTHCHECK --what=1 CMD x", "Unknown flag: what"),
    ],
)
def test_what_is_wrong_is_refused_in_docker_s_words(change: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        changed(change)
    assert caught.value.message == message
