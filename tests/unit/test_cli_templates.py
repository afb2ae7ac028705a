"""--format of the commands that have one, and system df."""

from typing import Any

import pytest

from cais.cli.main import run
from cais.cli.times import age_of_date, go_date
from cais.client.codec import dumps, loads
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import chunked

Capture = pytest.CaptureFixture[str]
CONTAINER: dict[str, Any] = {"Id": "c" * 64, "Name": "/web", "State": {"Status": "running"}, "Mounts": []}
SUMMARY = {"Id": "c" * 64, "Names": ["/web"], "Created": 1, "Labels": {"a": "b"}, "SizeRw": 5, "State": "exited"}
EVENT = {"Type": "container", "Action": "die", "Actor": {"ID": "c", "Attributes": {"exitCode": "3"}}, "timeNano": 5}


def test_ps_applies_a_template(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /containers/json"] = [SUMMARY]
    assert run(["ps", "--format", 'table {{.Names}}\\t{{upper .State}}\\t{{.Label "a"}}']) == 0
    assert capfd.readouterr().out == "NAMES     STATE     a\nweb       EXITED    b\n"
    assert canned.requests == ["GET /containers/json"]


@pytest.mark.parametrize(
    ("flags", "asks"),
    [
        (["--format", "{{.Size}}"], True),
        (["--format", "{{json .}}"], True),
        (["-s"], True),
        (["--size=false", "--format", "{{.Size}}"], False),
        (["-q", "--format", "{{.Size}}"], False),
        (["--format", "json"], False),
        (["--format", "{{.ID}}"], False),
    ],
)
def test_ps_asks_for_sizes_when_they_are_shown(canned: CannedEngine, flags: list[str], asks: bool) -> None:
    canned.answers["GET /containers/json"] = [SUMMARY]
    assert run(["ps", *flags]) == 0
    assert canned.requests == ["GET /containers/json?size=1" if asks else "GET /containers/json"]


def test_ps_prefers_ids_alone(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /containers/json"] = [SUMMARY]
    assert run(["ps", "-q", "--format", "{{.Names}}"]) == 0
    assert capfd.readouterr() == (
        "c" * 12 + "\n",
        "WARNING: Ignoring custom format, because both --format and --quiet are set.\n",
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.ID", "failed to parse template: template: :1: unclosed action"),
        (
            "{{.Foo}}",
            'failed to execute template: template: :1:2: executing "" at <.Foo>: '
            "can't evaluate field Foo in type *formatter.ContainerContext",
        ),
    ],
)
def test_ps_tries_a_template_before_it_asks(canned: CannedEngine, capfd: Capture, template: str, message: str) -> None:
    assert run(["ps", "--format", template]) == 1
    assert capfd.readouterr().err == f"{message}\n"
    assert canned.requests == []


def test_the_user_s_own_format_is_used(canned: CannedEngine, capfd: Capture, tmp_path: Any) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/config.json").write_text('{"psFormat": "{{.Names}}", "imagesFormat": "{{.Tag}}"}')
    canned.answers["GET /containers/json"] = [SUMMARY]
    canned.answers["GET /images/json"] = [{"Id": "sha256:1", "RepoTags": ["x:1"]}]
    assert run(["ps"]) == 0
    assert run(["images"]) == 0
    assert run(["images", "--format", "table {{.Repository}}\\t{{.Tag}}"]) == 0
    assert capfd.readouterr().out == "web\n1\nREPOSITORY   TAG\nx            1\n"


def test_inspect_applies_a_template_to_each(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /containers/web/json"] = CONTAINER
    assert run(["inspect", "-f", "{{.Name}} {{.State.Status}}", "web", "nope", "web"]) == 1
    assert capfd.readouterr() == ("/web running\n/web running\n", "Error: No such object: nope\n")
    assert run(["inspect", "-f", "json", "web"]) == 0
    assert loads(capfd.readouterr().out) == [CONTAINER]


@pytest.mark.parametrize(
    ("template", "status", "output", "message"),
    [
        ("{{.Foo", 64, "", "template parsing error: template: :1: unclosed action\n"),
        (
            "{{.Foo}}",
            1,
            "\n",
            'template parsing error: template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"\n',
        ),
    ],
)
def test_inspect_s_mistakes_have_docker_s_status(
    canned: CannedEngine, capfd: Capture, template: str, status: int, output: str, message: str
) -> None:
    canned.answers["GET /containers/web/json"] = CONTAINER
    assert run(["inspect", "-f", template, "web"]) == status
    assert capfd.readouterr() == (output, message)


def test_inspect_wants_a_type_that_exists(canned: CannedEngine, capfd: Capture) -> None:
    assert run(["inspect", "--type", "", "x"]) == 1
    assert capfd.readouterr().err.startswith('type is empty: must be one of "config", "container"')
    assert run(["inspect", "--type", "foo", "x"]) == 1
    assert capfd.readouterr().err.startswith('unknown type: "foo": must be one of ')
    assert canned.requests == []


def test_events_are_shown_by_a_template(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /events"] = chunked("200 OK", dumps(EVENT) + b"\n")
    assert run(["events", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}"]) == 0
    assert run(["events", "--format", "json"]) == 0
    assert capfd.readouterr().out == f"die 3\n{dumps(EVENT).decode()}\n"
    for template in ("{{.Foo", "{{.Foo}}"):
        assert run(["events", "--format", template]) == 64
        assert capfd.readouterr().err.startswith("Error parsing format: template: :1")
    assert run(["events", "--since", "x"]) == 1
    assert capfd.readouterr().err == 'failed to parse value as time or duration: "x"\n'


def test_version_and_info_are_shown_by_a_template(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /version"] = {"Version": "9", "ApiVersion": "1.51"}
    canned.answers["GET /info"] = {"NCPU": 2, "Driver": "overlay2"}
    assert run(["version", "-f", "{{.Server.Version}} {{.Client.Context}}"]) == 0
    assert run(["info", "-f", "{{.NCPU}} {{.Driver}} {{.ClientInfo.Debug}}"]) == 0
    assert capfd.readouterr().out == "9 default\n2 overlay2 false\n"
    for command in ("version", "info"):
        assert run([command, "-f", "{{.Foo"]) == 64
        assert run([command, "-f", "x{{.Foo}}"]) == 1
        assert capfd.readouterr().out == "x\n"


def test_info_about_the_client_alone_asks_nobody(canned: CannedEngine, capfd: Capture) -> None:
    assert run(["info", "-f", "{{.ClientInfo.Context}}"]) == 0
    assert capfd.readouterr().out == "default\n"
    assert canned.requests == []


USAGE: dict[str, Any] = {
    "LayersSize": 4_000_000,
    "Images": [
        {
            "Id": "sha256:1",
            "RepoTags": ["x:1"],
            "Size": 3_000_000,
            "SharedSize": 1_000_000,
            "Containers": 1,
            "Created": 0,
        },
        {"Id": "sha256:2", "RepoTags": None, "Size": 2_000_000, "SharedSize": 1_000_000, "Containers": 0, "Created": 0},
    ],
    "Containers": [
        {**SUMMARY, "State": "running", "SizeRw": 100},
        {**SUMMARY, "State": "exited", "SizeRw": 300, "SizeRootFs": 900},
    ],
    "Volumes": [{"Name": "v", "UsageData": {"Size": 10, "RefCount": 0}}, {"Name": "w", "UsageData": None}],
    "BuildCache": [
        {"ID": "k", "Type": "regular", "Size": 7, "InUse": True, "CreatedAt": "2024-05-06T07:08:09.120Z"},
        {"ID": "l", "Type": "regular", "Size": 70, "Shared": True, "CreatedAt": "2024-05-06T07:08:09Z"},
    ],
}


def test_disk_usage_is_summed_up(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /system/df"] = USAGE
    assert run(["system", "df"]) == 0
    assert capfd.readouterr().out == (
        "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n"
        "Images          2         1         4MB       2MB (50%)\n"
        "Containers      2         1         400B      300B (75%)\n"
        "Local Volumes   2         0         10B       10B (100%)\n"
        "Build Cache     2         1         7B        0B\n"
    )
    assert run(["system", "df", "--format", "{{.Type}} {{.Active}}"]) == 0
    assert capfd.readouterr().out == "Images 1\nContainers 1\nLocal Volumes 0\nBuild Cache 1\n"


def test_an_engine_that_keeps_nothing_uses_nothing(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /system/df"] = {"LayersSize": 0, "Images": None}
    assert run(["system", "df", "--format", "{{.TotalCount}} {{.Reclaimable}}"]) == 0
    assert capfd.readouterr().out == "0 0B\n" * 4


def test_disk_usage_is_shown_in_detail(canned: CannedEngine, capfd: Capture) -> None:
    canned.answers["GET /system/df"] = USAGE
    assert run(["system", "df", "-v"]) == 0
    shown = capfd.readouterr().out
    assert "Images space usage:\n\nREPOSITORY   TAG " in shown
    assert "\nBuild cache usage: 7B\n\nCACHE ID   CACHE TYPE   SIZE " in shown
    assert "virtual" not in shown
    assert run(["system", "df", "-v", "--format", "json"]) == 0
    found = loads(capfd.readouterr().out)
    assert list(found) == ["Images", "Containers", "Volumes", "BuildCache"]
    assert found["Images"][0]["UniqueSize"] == "2MB"
    assert found["Volumes"][1]["Links"] == "N/A"
    assert found["BuildCache"][0]["ID"] == "k*"
    assert run(["system", "df", "-v", "--format", "{{range .Volumes}}{{.Name}} {{end}}"]) == 0
    assert capfd.readouterr().out == "v w "


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2024-05-06T07:08:09.120Z", "2024-05-06 07:08:09.12 +0000 UTC"),
        ("2024-05-06T07:08:09Z", "2024-05-06 07:08:09 +0000 UTC"),
        ("2024-05-06T07:08:09.000+02:00", "2024-05-06 07:08:09 +0200 +0200"),
        ("", ""),
    ],
)
def test_dates_are_shown_as_go_shows_them(text: str, shown: str) -> None:
    assert go_date(text) == shown
    assert age_of_date(text).endswith("years ago") == bool(text)


def test_an_engine_that_cannot_be_reached_is_told_of_once(capfd: Capture, tmp_path: Any) -> None:
    host = f"unix://{tmp_path}/none.sock"
    message = f"Cannot connect to the Cais daemon at {host}. Is the cais daemon running?\n"
    assert run(["-H", host, "inspect", "x", "y"]) == 1
    assert capfd.readouterr() == ("[]\n", message)
    assert run(["-H", host, "info", "-f", "{{.Driver}}"]) == 1
    assert capfd.readouterr() == ("\n", message)
    assert run(["-H", host, "version", "-f", "{{.Client.Context}}"]) == 1
    assert capfd.readouterr() == ("default\n", message)
