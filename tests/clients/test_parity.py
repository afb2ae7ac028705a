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
# Not 02-lifecycle: its "stop -t 0" races with a shell that may wake up first, for Docker too.
SCENARIOS = (
    *(RECORDED / f"{name}.sh" for name in (
        "01-run", "03-exec-logs-attach", "04-isolation", "05-volumes", "08-images", "10-restart-health", "11-many",
    )),
    Path(__file__).parent / "scenarios/listing-and-waiting.sh",
)  # fmt: skip


def _clients(caisd: Daemon, folder: Path) -> dict[str, str]:
    """The command of each client. Our own stands in a file named as users call it, since its errors name it."""
    command = folder / "cais"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cais.cli "$@"\n')
    command.chmod(0o755)
    return {"docker": f"docker -H {caisd.host}", "cais": str(command)}


@pytest.mark.parametrize("client", ["docker", "cais"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.stem)
def test_a_recorded_scenario_is_the_same(caisd: Daemon, tmp_path: Path, client: str, scenario: Path) -> None:
    if not PARITY.is_dir():
        pytest.skip("the player of scenarios is not beside this tree (../shared/parity)")
    command = [sys.executable, str(PARITY / "parity"), "--b", _clients(caisd, tmp_path)[client], str(scenario)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=170, env=caisd.environment())
    assert done.returncode == 0, done.stdout + done.stderr
