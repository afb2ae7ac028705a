"""The scenarios whose answers were recorded from Docker, played against caisd by each client.

Those of our own, in `scenarios/`, were recorded from Docker 20.10; where a current one words an error differently,
`expected/` has its words.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.engine import PROJECT, Daemon

PARITY = PROJECT.parent / "shared/parity"
RECORDED = PARITY / "scenarios"
SCENARIOS = (
    *(RECORDED / f"{name}.sh" for name in (
        "01-run", "02-lifecycle", "03-exec-logs-attach", "04-isolation", "05-volumes", "06-networks", "07-ports",
        "08-images", "09-build", "10-restart-health", "11-many",
    )),
    Path(__file__).parent / "scenarios/listing-and-waiting.sh",
)  # fmt: skip

# In these a step races with itself, and against Docker too: the shell that "stop -t 0" ends may wake up first; "ps"
# may have looked before the shell has made the "grep" that it counts (4 of 30 plays on Docker 20.10). And one looks
# for "db" in /etc/hosts, where the container's own id stands: one id in twenty-three has a "db" in it. They differ when
# every one of a few plays does.
RACING = ("02-lifecycle", "04-isolation", "06-networks")
PLAYS_OF_RACING = 4


def _clients(caisd: Daemon, folder: Path) -> dict[str, str]:
    """The command of each client. Our own stands in a file named as users call it, since its errors name it."""
    command = folder / "cais"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cais.cli "$@"\n')
    command.chmod(0o755)
    return {"docker": f"docker -H {caisd.host}", "cais": str(command)}


CASES = [(client, scenario) for scenario in SCENARIOS for client in ("docker", "cais")]


@pytest.mark.parametrize(("client", "scenario"), CASES, ids=lambda value: getattr(value, "stem", value))
def test_a_recorded_scenario_is_the_same(caisd: Daemon, tmp_path: Path, client: str, scenario: Path) -> None:
    if not PARITY.is_dir():
        pytest.skip("the player of scenarios is not beside this tree (../shared/parity)")
    command = [sys.executable, str(PARITY / "parity"), "--b", _clients(caisd, tmp_path)[client], str(scenario)]
    plays = PLAYS_OF_RACING if scenario.stem in RACING else 1
    answers: list[str] = []
    environment = caisd.environment()
    while len(answers) < plays:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=170, env=environment)
        if done.returncode == 0:
            return
        answers.append(done.stdout + done.stderr)
    pytest.fail("\n".join(answers))


@pytest.mark.parametrize("client", ["docker", "cais"])
def test_projects_live_as_under_docker_compose(caisd: Daemon, tmp_path: Path, client: str) -> None:
    """The real Docker Compose against caisd, and ours in its place: the client's name is the same."""
    if not PARITY.is_dir():
        pytest.skip("the player of scenarios is not beside this tree (../shared/parity)")
    real = Path(sys.executable).with_name("docker-compose")
    programs = {
        "docker": f'DOCKER_HOST={caisd.host} exec "{real}" "$@"',
        "cais": f'exec "{sys.executable}" -m cais.cli compose "$@"',
    }
    command = tmp_path / "docker-compose"
    command.write_text(f"#!/bin/sh\n{programs[client]}\n")
    command.chmod(0o755)
    scenario = Path(__file__).parent / "scenarios/compose.sh"
    player = [sys.executable, str(PARITY / "parity"), "--b", str(command), str(scenario)]
    done = subprocess.run(player, check=False, capture_output=True, text=True, timeout=170, env=caisd.environment())
    assert done.returncode == 0, done.stdout + done.stderr
