"""What the docker client's --format makes of the engine's answers."""

from tests.harness.engine import Engine


def test_ps_fills_in_a_template(engine: Engine) -> None:
    identity = engine.docker_output("run", "-d", "--name", "shown", "--label", "a=b", "busybox", "sleep", "100")
    columns = "{{.ID}} {{.Image}} {{.Command}} {{.Names}} {{.Labels}}"
    shown = engine.docker_output("ps", "--no-trunc", "--format", columns)
    assert shown == f'{identity} busybox "sleep 100" shown a=b'
    assert engine.docker_output("ps", "--format", "{{.Status}}").startswith("Up ")


def test_inspect_fills_in_a_template(engine: Engine) -> None:
    identity = engine.docker_output("create", "--name", "idle", "busybox", "true")
    template = "{{.Id}} {{.State.Status}} {{.Config.Image}} {{.HostConfig.NetworkMode}}"
    assert engine.docker_output("inspect", "-f", template, "idle").startswith(f"{identity} created busybox ")


def test_version_and_info_fill_in_a_template(engine: Engine) -> None:
    assert engine.docker_output("version", "--format", "{{.Server.Os}}") == "linux"
    assert float(engine.docker_output("version", "--format", "{{.Server.APIVersion}}")) >= 1.41
    assert engine.docker_output("info", "--format", "{{.Driver}} {{.OSType}}") == "overlay2 linux"
