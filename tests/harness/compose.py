"""A project of Compose, and the two programs that know what to do with it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness.engine import Engine

DOCKER_COMPOSE = Path(sys.executable).with_name("docker-compose")


class Project:
    """A folder with a Compose file, and the two programs that know what to do with it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.name = "cp" + folder.name.replace("_", "")[-12:]
        self.folder.mkdir(exist_ok=True)

    def write(self, text: str, name: str = "compose.yaml") -> None:
        (self.folder / name).write_text(text)

    def command(self, *words: str, program: str = "cais") -> list[str]:
        if program == "docker":
            return [str(DOCKER_COMPOSE), "-p", self.name, *words]
        return [sys.executable, "-m", "cais.cli", "compose", "-p", self.name, *words]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in self.engine.environment().items() if not name.startswith("COMPOSE_")}
        return {**kept, "DOCKER_HOST": self.engine.host, "CAIS_HOST": self.engine.host}

    def run(
        self, *words: str, program: str = "cais", answers: str = "", variables: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words, program=program),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            env={**self.environment(), **(variables or {})},
            input=answers,
        )

    def good(self, *words: str, program: str = "cais") -> str:
        """The standard output of a command that must succeed."""
        done = self.run(*words, program=program)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def docker(self, *words: str) -> str:
        """The output of a command of Docker's client, about everything that the engine has."""
        return self.engine.docker_output(*words)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def containers(self) -> dict[str, str]:
        """The ids of the project's containers by their names."""
        lines = self.good("ps", "-a", "--format", "{{.Name}} {{.ID}}", "--no-trunc").splitlines()
        return {name.removeprefix(f"{self.name}-"): identity for name, identity in (line.split() for line in lines)}

    def running(self) -> list[str]:
        names = self.good("ps", "--format", "{{.Name}}").splitlines()
        return sorted(name.removeprefix(f"{self.name}-") for name in names)

    def labels(self, container: str) -> dict[str, str]:
        found = json.loads(self.engine.docker_output("inspect", "-f", "{{json .Config.Labels}}", container))
        assert isinstance(found, dict)
        return found
