"""Builds by the API, for tests: a Dockerfile and some files in, the lines of the answer out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.harness.archives import Archive
from tests.harness.engine import Engine
from tests.harness.http import Json


@dataclass(frozen=True, slots=True)
class Build:
    """What a build has answered."""

    status: int
    lines: list[Json]

    @property
    def text(self) -> str:
        """What a user sees."""
        return "".join(line["stream"].text for line in self.lines if "stream" in line)

    @property
    def error(self) -> str:
        """The last word of a build that failed, "" of one that did not."""
        last = self.lines[-1]
        return last["message"].text if "message" in last else last["error"].text if "error" in last else ""

    @property
    def image(self) -> str:
        """The id of the image. Fails when there is none."""
        assert not self.error, (self.error, self.text)
        return next(line["aux"]["ID"].text for line in self.lines if "aux" in line)

    @property
    def cached(self) -> int:
        """How many steps were in the cache."""
        return self.text.count("Using cache")


def context(dockerfile: str, files: Mapping[str, str | bytes] | None = None, *, more: Archive | None = None) -> bytes:
    """The archive of a context; a name that ends with a slash is a folder."""
    archive = more or Archive()
    for name, content in (files or {}).items():
        if name.endswith("/"):
            archive.folder(name)
        else:
            archive.add(name, content.encode() if isinstance(content, str) else content)
    return archive.add("Dockerfile", dockerfile.encode()).data


def build(
    engine: Engine, text: str, /, files: Mapping[str, str | bytes] | None = None, *, more: Archive | None = None,
    **query: object,
) -> Build:  # fmt: skip
    """Build a Dockerfile with that text by the API. Values of the query that are no text are sent as JSON."""
    return build_archive(engine, context(text, files, more=more), **query)


def build_archive(engine: Engine, archive: bytes, /, **query: object) -> Build:
    """Build from the archive of a context."""
    values = {name: value if isinstance(value, str | list) else json.dumps(value) for name, value in query.items()}
    answer = engine.ask("POST", "/build?" + urlencode(values, doseq=True), archive)
    return Build(answer.status, [Json(json.loads(line)) for line in answer.body.splitlines() if line])


def look(engine: Engine, image: str, script: str) -> str:
    """What a script says in a container of an image."""
    return engine.docker_output("run", "--rm", "--network", "none", "--entrypoint", "", image, "sh", "-c", script)


def config(engine: Engine, image: str) -> Json:
    """The configuration of an image."""
    answer = engine.ask("GET", f"/images/{image}/json")
    assert answer.status == 200, answer.body
    return answer.json["Config"]
