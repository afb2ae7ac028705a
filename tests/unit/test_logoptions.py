"""Options of logging drivers."""

import pytest

from cais.engine import logoptions
from cais.engine.models import ContainerConfig, HostConfig, LogConfig, Record
from cais.errors import InvalidArgument


def _record(**options: str) -> Record:
    return Record(
        id="a" * 64, name="well", created_ns=0, image_id="sha256:" + "b" * 64, path="sh", args=["-c", "x"],
        config=ContainerConfig(Image="busybox", Labels={"l": "1", "m": "2"}, Env=["E=x=y", "F=", "G"]),
        host_config=HostConfig(log_config=LogConfig("json-file", options)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (20_000_000, 5)),
        ({"max-size": "10k"}, (10_000, 5)),
        ({"max-size": "1.5m", "max-file": "2"}, (1_500_000, 2)),
        ({"max-size": "-1"}, (0, 5)),
        ({"max-size": "7", "max-file": "1"}, (7, 1)),
    ],
)
def test_how_much_is_kept(options: dict[str, str], expected: tuple[int, int]) -> None:
    assert logoptions.limits(options) == expected


@pytest.mark.parametrize(
    "options", [{"max-size": "x"}, {"max-size": "0"}, {"max-size": "1z"}, {"max-file": "x"}, {"max-file": "0"}]
)
def test_sizes_that_make_no_sense(options: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        logoptions.check("json-file", options)


def test_nothing_is_carried_unless_asked() -> None:
    assert logoptions.attributes(_record()) == ""
    assert logoptions.attributes(_record(labels="none", env="NONE")) == ""


def test_labels_variables_and_a_tag() -> None:
    record = _record(labels="m", env="E,F,G", tag="{{ .ID }}|{{.ImageID}}|{{.Command}}")
    expected = '{"E":"x=y","F":"","m":"2","tag":"aaaaaaaaaaaa|bbbbbbbbbbbb|sh -c x"}'
    assert logoptions.attributes(record) == expected
    assert logoptions.attributes(_record(**{"labels-regex": "^l$"})) == '{"l":"1"}'


@pytest.mark.parametrize("tag", ["{{.Nope}}", "{{", "{{.ID}}}}", "{{index .X}}"])
def test_a_tag_that_is_no_template(tag: str) -> None:
    with pytest.raises(InvalidArgument, match="tag"):
        logoptions.check("json-file", {"tag": tag})


def test_modes_of_delivery() -> None:
    for driver in ("json-file", "local"):
        logoptions.check(driver, {"mode": "non-blocking", "max-buffer-size": "4m"})
        logoptions.check(driver, {"mode": "blocking"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "foo"}, "logger: logging mode not supported: foo"),
        ({"max-buffer-size": "4m"}, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
        (
            {"mode": "non-blocking", "max-buffer-size": "x"},
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
    ],
)
def test_modes_that_are_none(options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        logoptions.check("json-file", options)
    assert caught.value.message == message


def test_compression_needs_files_to_compress() -> None:
    logoptions.check("local", {"compress": "true"})
    assert logoptions.compresses({"compress": "True"})
    assert not logoptions.compresses({})
    for options in ({"compress": "true", "max-file": "1"}, {"compress": "true", "max-size": "-1"}):
        with pytest.raises(InvalidArgument, match="compress cannot be true"):
            logoptions.check("json-file", options)
    with pytest.raises(InvalidArgument, match="ParseBool"):
        logoptions.check("json-file", {"compress": "maybe"})
