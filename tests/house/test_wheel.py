"""The wheel is whole: unpacked in an empty folder it sets up an installation and serves a page."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import registry, django
django.setup()
from django.test import Client
page = Client().get("/login/")
print(registry.__file__, page.status_code, b"pressmark.css" in page.content)
from django.contrib.staticfiles import finders
print(bool(finders.find("pressmark/pressmark.css")))
"""


@pytest.mark.long
@pytest.mark.slow
def test_the_wheel_sets_up_an_installation_and_serves_a_page(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in tracked:
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(tmp_path),
        ".",
    ]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("pressmark-*.whl")
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRESSMARK", "DJANGO"))}
    environment = kept | {
        "PYTHONPATH": str(unpacked), "PRESSMARK_HOME": str(tmp_path / "home"),
        "DJANGO_SETTINGS_MODULE": "registry.settings", "PRESSMARK_ALLOWED_HOSTS": "testserver",
    }  # fmt: skip
    (tmp_path / "password").write_text("a long enough password")
    init = [sys.executable, "-m", "registry.cli.main", "init", "--password-file", str(tmp_path / "password")]
    said = subprocess.run(init, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "pressmark/" in said.stdout
    served = subprocess.run(
        [sys.executable, "-c", SERVE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert served.stdout.split() == [str(unpacked / "registry" / "__init__.py"), "200", "True", "True"], served.stderr
