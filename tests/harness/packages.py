"""Packages of npm's and of pip's as they come from a registry, made here, so that no test needs one."""

import base64
import gzip
import hashlib
import io
import zipfile

from tests.harness.archives import Archive


def npm_tarball(name: str, version: str, source: str) -> tuple[bytes, str]:
    """A package with one module, and its integrity as lock files have it."""
    about = f'{{"name": "{name}", "version": "{version}", "main": "index.js"}}'
    archive = Archive().add("package/package.json", about.encode()).add("package/index.js", source.encode())
    data = gzip.compress(archive.data, mtime=0)
    return data, "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def wheel(name: str, version: str, source: str) -> tuple[str, bytes, str]:
    """A wheel with one module: its file name, its bytes, and its hash as requirements have it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    data = buffer.getvalue()
    return f"{name}-{version}-py3-none-any.whl", data, f"sha256:{hashlib.sha256(data).hexdigest()}"
