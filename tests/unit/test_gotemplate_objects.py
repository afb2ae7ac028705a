"""Templates applied to what the engine answers: typed as Docker's client types it, and plain JSON where that fails."""

import json
import re
from typing import Any

import pytest

from cais.cli.gotemplate import Template, TemplateError
from cais.cli.gotemplate.declarations import EVENT, INFO, INSPECTED, NAMED, STRUCTS, VERSION
from cais.cli.gotemplate.typed import inspected, typed
from cais.cli.gotemplate.types import go_type
from tests.unit import gotemplate_samples as samples
from tests.unit.test_gotemplate_language import expectations

ADDRESS = re.compile("0xc0[0-9a-f]{8}")
OBJECTS = {
    "container": json.dumps(samples.CONTAINER).encode(),
    "image": json.dumps(samples.IMAGE).encode(),
    "network": json.dumps(samples.NETWORK).encode(),
    "volume": json.dumps(samples.VOLUME).encode(),
}


@pytest.mark.parametrize(("kind", "template", "expected"), expectations("objects"))
def test_inspect_shows_what_docker_shows(kind: str, template: str, expected: str) -> None:
    try:
        found = inspected(Template(template), kind, OBJECTS[kind])
    except TemplateError as error:
        found = error.message
    assert ADDRESS.sub("ADDRESS", found) == ADDRESS.sub("ADDRESS", expected)


def test_without_the_fallback_the_error_is_that_of_the_type() -> None:
    with pytest.raises(TemplateError, match=r"can't evaluate field Nope in type volume\.Volume$"):
        inspected(Template("{{.Nope}}"), "volume", OBJECTS["volume"], falls_back=False)


def test_an_object_of_an_unknown_kind_is_plain_json() -> None:
    assert inspected(Template("{{.Id}} {{.Big}}"), "plugin", b'{"Id": "p", "Big": 1.0}') == "p 1.0"
    with pytest.raises(TemplateError, match="map has no entry for key"):
        inspected(Template("{{.ID}}"), "plugin", b'{"Id": "p"}')


def test_pointers_inside_of_lists_are_shown_as_addresses() -> None:
    assert ADDRESS.search(inspected(Template("{{.NetworkSettings.Networks}}"), "container", OBJECTS["container"]))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Server.Version}} {{.Client.APIVersion}} {{.Server.Platform.Name}}", "1.0 1.51 Engine"),
        ("{{.Client}}", "{<nil> 1.0 1.51    linux amd64  default}"),
        ("{{range .Server.Components}}{{.Name}} {{.Details.GitCommit}}{{end}}", "Engine abc"),
        (
            "{{json .Client}}",
            '{"Version":"1.0","ApiVersion":"1.51","DefaultAPIVersion":"","GitCommit":"","GoVersion":"",'
            '"Os":"linux","Arch":"amd64","BuildTime":"","Context":"default"}',
        ),
    ],
)
def test_version(template: str, text: str) -> None:
    assert Template(template, "version").apply(typed(samples.VERSION, VERSION)) == text


def test_version_of_an_engine_that_does_not_answer() -> None:
    value = typed({"Client": samples.VERSION["Client"], "Server": None}, VERSION)
    assert Template("{{.Server}} {{.Client.Version}}").apply(value) == "<nil> 1.0"
    with pytest.raises(TemplateError, match=r"at <.Server.Version>: nil pointer evaluating \*types.Version.Version$"):
        Template("{{.Server.Version}}").apply(value)


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{.Foo}}", "can't evaluate field Foo in type system.versionInfo"),
        ("{{.Server.Foo}}", "can't evaluate field Foo in type *types.Version"),
        ("{{.Server.ApiVersion}}", "can't evaluate field ApiVersion in type *types.Version"),
        ("{{.Client.Platform.Name}}", "nil pointer evaluating *system.platformInfo.Name"),
        ("{{len .Server}}", "error calling len: len of type types.Version"),
    ],
)
def test_version_has_no_fallback(template: str, error: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template, "version").apply(typed(samples.VERSION, VERSION))
    assert caught.value.message.endswith(f": {error}")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}} {{.NCPU}} {{.MemTotal}} {{.Driver}} {{.CgroupVersion}}", "host 2 8000000000 overlay2 2"),
        ("{{.DriverStatus}}", "[[Backing Filesystem extfs] [Using metacopy false]]"),
        ("{{range .DriverStatus}}{{. | len}}{{index . 1}} {{end}}", "2extfs 2false "),
        ('{{.Plugins}} {{join .Plugins.Network ","}}', "{[local] [bridge host] [] [json-file]} bridge,host"),
        ("{{with .RegistryConfig.InsecureRegistryCIDRs}}{{.}} {{index . 0}}{{end}}", "[127.0.0.0/8] 127.0.0.0/8"),
        (
            "{{json .RegistryConfig}}",
            '{"IndexConfigs":{"docker.io":{"Mirrors":[],"Name":"docker.io","Official":true,"Secure":true}},'
            '"InsecureRegistryCIDRs":["127.0.0.0/8"],"Mirrors":[]}',
        ),
        ("{{.Runtimes}} {{.Swarm.LocalNodeState}} {{.Labels}}", "map[runc:{{runc []  map[]} map[]}] inactive []"),
        ("{{.ClientInfo}} {{.ClientInfo.Version}}", "{false {<nil> 1.0        default} [] []} 1.0"),
        ("{{.Info.ID}} {{.UserName}}|{{.ServerErrors}}", "id |[]"),
    ],
)  # fmt: skip
def test_info(template: str, text: str) -> None:
    assert Template(template).apply(typed(samples.INFO, INFO)) == text


def test_info_as_json_leaves_out_what_is_empty_and_the_user() -> None:
    made = json.loads(Template("{{json .}}").apply(typed(samples.INFO, INFO)))
    assert made["ClientInfo"]["Version"] == "1.0"
    assert not {"UserName", "ServerErrors", "ClientErrors", "Info", "SystemStatus"} & made.keys()
    assert made["Containers"] == 3
    assert made["Warnings"] is None


def test_an_event() -> None:
    value = typed(samples.EVENT, EVENT)
    template = Template("{{.Type}} {{.Action}} {{.ID}} {{.Actor.Attributes.name}} {{.TimeNano}} {{.From}}")
    assert template.apply(value) == "container create c0ffee web 1700000000123456789 busybox"
    assert json.loads(Template("{{json .}}").apply(value)) == samples.EVENT
    assert Template("{{.}}").apply(value) == (
        "{create c0ffee busybox container create {c0ffee map[image:busybox name:web]} local 1700000000 "
        "1700000000123456789}"
    )
    with pytest.raises(TemplateError, match=r"can't evaluate field Foo in type \*events\.Message$"):
        Template("{{.Foo}}").apply(value)


@pytest.mark.parametrize("name", sorted([*STRUCTS, *NAMED]))
def test_all_declared_types_can_be_made(name: str) -> None:
    made = go_type(name)
    assert made.name == name
    assert made is go_type(name)
    keys = [field.key for field in made.fields if field.key not in {"", "-"}]
    assert len(keys) == len(set(keys))


WRONG: list[Any] = [None, True, 1, 1.5, "x", [], ["x", 1], {}, {"a": 1}, [[{}]]]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("kind", INSPECTED)
def test_data_of_another_shape_than_declared_count_as_empty(kind: str, wrong: Any) -> None:
    """An engine that errs must not bring the client down."""
    broken = {key: wrong for key in samples.__dict__[kind.upper()]}
    everything = "{{.}} {{json .}} {{printf `%#v` .}}"
    assert inspected(Template(everything), kind, json.dumps(broken).encode())


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_also_what_methods_are_called_on_may_have_another_shape(wrong: Any) -> None:
    host = dict.fromkeys(["NetworkMode", "Ulimits", "BlkioWeightDevice", "BlkioDeviceReadBps", "ConsoleSize"], wrong)
    answer = {"HostConfig": {**host, "Ulimits": [wrong]}, "Config": {"Healthcheck": {"Interval": wrong}}}
    template = Template(
        "{{.HostConfig.NetworkMode.IsHost}} {{.HostConfig}} {{.HostConfig.Ulimits}} {{.HostConfig.BlkioWeightDevice}}"
        "{{.Config.Healthcheck.Interval.Seconds}} {{.Config.Healthcheck.Interval}} {{json .}}"
    )
    assert template.apply(typed(answer, INSPECTED["container"])).startswith("false ")
