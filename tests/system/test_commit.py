"""Images made of containers: `commit`."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.http import Json
from tests.harness.life import events, refused, run, status, wait_for_status


@pytest.fixture
def daemon(caisd: Daemon) -> Iterator[Daemon]:
    """The session's caisd, whose images are as before at the end."""
    before = _image_ids(caisd)
    yield caisd
    caisd.remove_containers()
    for image in _image_ids(caisd) - before:
        caisd.ask("DELETE", f"/images/{image}?force=1")
    assert _image_ids(caisd) == before


def _image_ids(daemon: Daemon) -> set[str]:
    return {image["Id"].text for image in daemon.ask("GET", "/images/json?all=1").json.items}


def commit(daemon: Daemon, container: str, body: object = None, **query: object) -> Json:
    answer = daemon.ask("POST", "/commit?" + urlencode({"container": container, **query}, doseq=True), body)
    assert answer.status == 201, answer.body
    return daemon.ask("GET", f"/images/{answer.json['Id'].text}/json").json


def ended(daemon: Daemon, script: str) -> str:
    container = run(daemon, "sh", "-c", script)
    wait_for_status(daemon, container, "exited")
    assert daemon.inspect(container)["State"]["ExitCode"].number == 0
    return container


def look(daemon: Daemon, image: str, script: str) -> str:
    return daemon.docker_output("run", "--rm", "--network", "none", image, "sh", "-c", script)


def test_every_kind_of_change_is_in_the_image(daemon: Daemon) -> None:
    container = ended(
        daemon,
        "echo data > /data; chmod 4751 /data; ln /data /etc/same; ln -s data /link; mkfifo /pipe; mknod /null c 1 3;"
        "rm /etc/group; rm -r /var/www; mkdir /var/www; echo new > /var/www/new; rm -r /var/spool; touch '/odd name\n';"
        "chown 12:34 /home; touch -d @1000000000 /data; dd if=/dev/zero of=/sparse bs=1 count=1 seek=50M 2>/dev/null",
    )
    made = commit(daemon, container)["Id"].text
    for script, expected in (
        ("cat /data; stat -c '%a %h %Y' /data; readlink /link", "data\n4751 2 1000000000\ndata"),
        ("stat -c %F /pipe; stat -c %t:%T /null", "fifo\n1:3"),
        ("ls -d /etc/group /var/spool 2>&1 | grep -c 'No such'", "2"),
        ("ls -A /var/www; stat -c %u:%g /home; ls / | grep -c odd", "new\n12:34\n1"),
        ("[ /data -ef /etc/same ] && stat -c %s /sparse", "52428801"),
        ("[ $(du -k /sparse | cut -f1) -lt 500 ] && echo sparse", "sparse"),
    ):
        assert look(daemon, made, script) == expected


def test_an_opaque_folder_hides_what_was_below_it(daemon: Daemon) -> None:
    first = commit(daemon, ended(daemon, "mkdir -p /a/b; touch /a/b/old /a/old"))["Id"].text
    second = daemon.docker_output("create", first, "sh", "-c", "rm -r /a; mkdir -p /a/b; touch /a/b/new").strip()
    daemon.docker_output("start", "-a", second)
    made = commit(daemon, second)["Id"].text
    assert look(daemon, made, "find /a | sort") == "/a\n/a/b\n/a/b/new"


def test_the_configuration_is_the_container_s_overridden_and_changed(daemon: Daemon) -> None:
    container = run(
        daemon, "sleep", "1000", Env=["A=1", "B=1"], Labels={"from": "container"}, WorkingDir="/tmp", User="daemon",
        ExposedPorts={"80/tcp": {}}, StopSignal="SIGINT", Entrypoint=["env"],
    )  # fmt: skip
    image = commit(
        daemon, container, {"Env": ["B=2"], "Labels": {"own": "yes"}},
        changes=['CMD ["cat", "/data"]', "ENV C=3", "EXPOSE 81"], author="who", comment="why",
    )  # fmt: skip
    config = image["Config"]
    assert config["Cmd"].value == ["cat", "/data"]
    assert config["Entrypoint"].value == ["env"]
    assert set(config["Env"].value) >= {"A=1", "B=2", "C=3"}  # type: ignore[call-overload]
    assert config["Labels"].value == {"from": "container", "own": "yes"}
    assert (config["WorkingDir"].text, config["User"].text, config["StopSignal"].text) == ("/tmp", "daemon", "SIGINT")
    assert config["ExposedPorts"].value == {"80/tcp": {}, "81/tcp": {}}
    assert (image["Author"].text, image["Comment"].text) == ("who", "why")
    assert image["Parent"].text == daemon.inspect(container)["Image"].text
    (step, *_) = daemon.ask("GET", f"/images/{image['Id'].text}/history").json.items
    assert (step["CreatedBy"].text, step["Comment"].text) == ("sleep 1000", "why")


def test_an_entrypoint_given_makes_the_command_meaningless(daemon: Daemon) -> None:
    image = commit(daemon, ended(daemon, "true"), changes=['ENTRYPOINT ["/bin/echo"]'])
    assert image["Config"]["Entrypoint"].value == ["/bin/echo"]
    assert "Cmd" not in image["Config"]


def test_a_container_without_changes_makes_no_layer(daemon: Daemon) -> None:
    base = daemon.ask("GET", "/images/busybox/json").json
    image = commit(daemon, daemon.docker_output("create", "busybox").strip())
    assert image["RootFS"]["Layers"].value == base["RootFS"]["Layers"].value
    assert image["Size"].number == base["Size"].number
    assert image["Id"].text != base["Id"].text


def test_the_image_is_named_and_told(daemon: Daemon) -> None:
    container = ended(daemon, "touch /x")
    image = commit(daemon, container, repo="example.org/made", tag="v1", comment="c")
    assert image["RepoTags"].value == ["example.org/made:v1"]
    assert commit(daemon, container, repo="plain")["RepoTags"].value == ["plain:latest"]
    told = [e for e in events(daemon, container=[container]) if e["Action"].text == "commit"]
    assert told[0]["Actor"]["Attributes"]["imageID"].text == image["Id"].text
    assert told[0]["Actor"]["Attributes"]["imageRef"].text == "example.org/made:v1"
    assert told[0]["Actor"]["Attributes"]["comment"].text == "c"


@pytest.mark.parametrize(("pause", "expected"), [("1", ["pause", "unpause"]), ("0", [])])
def test_a_running_container_stands_still_meanwhile_unless_it_shall_not(
    daemon: Daemon, pause: str, expected: list[str]
) -> None:
    container = run(daemon, "sh", "-c", "echo data > /data; exec sleep 1000")
    wait_until(lambda: daemon.docker("exec", container, "cat", "/data").returncode == 0)
    image = commit(daemon, container, pause=pause)
    assert status(daemon, container) == "running"
    told = [e["Action"].text for e in events(daemon, container=[container])]
    assert [action for action in told if "pause" in action] == expected
    assert look(daemon, image["Id"].text, "cat /data") == "data"


def test_a_paused_container_stays_paused(daemon: Daemon) -> None:
    container = run(daemon, "sleep", "1000")
    assert daemon.ask("POST", f"/containers/{container}/pause").status == 204
    commit(daemon, container)
    assert status(daemon, container) == "paused"
    assert daemon.ask("POST", f"/containers/{container}/unpause").status == 204


def test_what_is_refused(daemon: Daemon) -> None:
    container = ended(daemon, "true")
    assert refused(daemon, "POST", "/commit?container=absent") == (404, "No such container: absent")
    for query, told in (
        ("repo=UPPER", "must be lowercase"),
        ("repo=a&tag=b+c", "invalid tag format"),
        (f"changes={quote('FOO x')}", "foo is not a valid change command"),
    ):
        code, message = refused(daemon, "POST", f"/commit?container={container}&{query}")
        assert code == 400
        assert told in message


def test_links_planted_while_it_is_read_lead_nowhere(daemon: Daemon, marker: Path) -> None:
    """A container that swaps folders for links to the host's root while it is committed again and again."""
    script = "mkdir -p /swap/etc; while :; do mv /swap /kept; ln -s / /swap; rm /swap; mv /kept /swap; done"
    container = run(daemon, "sh", "-c", script)
    base = daemon.ask("GET", "/images/busybox/json").json
    for _ in range(15):
        image = commit(daemon, container, pause=0)
        assert look(daemon, image["Id"].text, f"find / -xdev -name {marker.name}") == ""
        assert image["Size"].number < base["Size"].number + 100
        daemon.ask("DELETE", f"/images/{image['Id'].text}?force=1")


def test_a_container_removed_meanwhile_makes_no_image(daemon: Daemon) -> None:
    container = ended(daemon, "dd if=/dev/urandom of=/big bs=1M count=80 2>/dev/null")
    before = _image_ids(daemon)
    answers: list[int] = []
    thread = threading.Thread(
        target=lambda: answers.append(daemon.ask("POST", f"/commit?container={container}").status)
    )
    thread.start()
    wait_until(lambda: any((daemon.data_root / "tmp" / "images").iterdir()))
    assert daemon.ask("DELETE", f"/containers/{container}").status == 204
    thread.join(60)
    assert answers == [409]
    wait_until(lambda: _image_ids(daemon) == before)


def test_attributes_of_overlayfs_and_names_of_whiteouts_stay_out(daemon: Daemon) -> None:
    container = ended(daemon, "mkdir /d; touch /d/.wh.passwd /.wh..wh..opq /d/file")
    upper = daemon.data_root / "containers" / container / "rw" / "diff"
    os.setxattr(upper / "d" / "file", "user.kept", b"yes")
    os.setxattr(upper / "d" / "file", "user.overlay.opaque", b"y")
    image = commit(daemon, container)
    layer = Path(daemon.ask("GET", f"/images/{image['Id'].text}/json").json["GraphDriver"]["Data"]["UpperDir"].text)
    assert sorted(path.name for path in layer.rglob("*")) == ["d", "file"]
    assert os.listxattr(layer / "d" / "file") == ["user.kept"]


def test_the_client_commits(daemon: Daemon) -> None:
    container = ended(daemon, "echo data > /data")
    printed = daemon.docker_output("commit", "-m", "with data", "-c", 'CMD ["cat","/data"]', container, "made:1")
    assert printed.startswith("sha256:")
    assert daemon.docker_output("run", "--rm", "--network", "none", "made:1") == "data"
    assert daemon.docker_output("history", "--format", "{{.Comment}}", "made:1").splitlines()[0] == "with data"
    sdk_image = daemon.sdk().containers.get(container).commit("sdk", "2", changes=["LABEL a=b"])
    assert sdk_image.labels["a"] == "b"
    assert json.loads(daemon.docker_output("inspect", "sdk:2"))[0]["RepoTags"] == ["sdk:2"]
