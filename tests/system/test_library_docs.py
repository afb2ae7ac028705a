"""Every example of the documents runs as it stands, and writes what the document says."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness.library import Example, Folders, examples, folders

IN_A_NOTEBOOK = """
import ast, asyncio, inspect, sys
code = compile(sys.argv[1], "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
async def kernel():
    value = eval(code, {"__name__": "__main__"})
    if inspect.isawaitable(value):
        await value
asyncio.run(kernel())
"""
WITHOUT_PLUGINS = ("-p", "no:cacheprovider", "-p", "no:asyncio")


@pytest.fixture(scope="module")
def shared(clean_host: None) -> Iterator[Folders]:
    with folders() as made:
        yield made


@pytest.mark.parametrize("example", [*examples("docs/library.md"), *examples("README.md")], ids=str)
def test_an_example_writes_what_the_document_says(shared: Folders, example: Example) -> None:
    if example.is_test:
        file = shared.root / "test_example.py"
        file.write_text(example.program)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", *WITHOUT_PLUGINS, "-q", str(file)],
            check=False, capture_output=True, text=True, timeout=90, env=shared.environment(), cwd=shared.root,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 passed" in done.stdout
        return
    assert example.output is not None, "the document does not say what it writes"
    done = shared.python(IN_A_NOTEBOOK, example.program) if example.waits_at_the_top else shared.python(example.program)
    assert (done.returncode, done.stdout, done.stderr) == (0, example.output, "")


def test_a_notebook_may_call_what_blocks(shared: Folders) -> None:
    """Its event loop runs in the thread that the cell is run in."""
    cell = "import cais; print(cais.run('cais.local/busybox', ['echo', 'hi']).stdout)"
    done = shared.python(IN_A_NOTEBOOK, cell)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'hi\\n'\n", "")
