"""What runs on other people's machines needs no Django: the client, its verbs of the command line, the verifier."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.deployed import ISSUER, deploy

ROOT = Path(__file__).resolve().parents[2]
LIGHT = [
    "registry.client",
    "registry.cli.main",
    "registry.cli.remote_login",
    "registry.cli.remote_register_version",
    "registry.cli.remote_compress",
    "registry.cli.remote_evaluate",
    "registry.cli.remote_show",
    "registry.cli.remote_as_of",
    "registry.cli.remote_diff_versions",
    "registry.cli.remote_pull",
    "registry.cli.admit",
    "registry.cli.measure",
    "registry.cli.receipt",
    "registry.cli.remote_end_actor",
    "registry.cli.remote_end_attestation",
    "registry.cli.remote_end_membership",
    "registry.cli.remote_give_responsibility",
    "registry.cli.remote_end_monitor",
    "registry.cli.remote_end_token",
    "registry.cli.remote_end_webhook",
    "registry.cli.remote_register_webhook",
    "registry.cli.remote_rotate_webhook",
    "registry.cli.remote_erase_actor",
    "registry.cli.remote_erase_texts",
    "registry.cli.remote_bundle",
    "registry.cli.verify",
    "registry.cli.witness",
    "audit.offline_verify",
    "audit.witnessing.witness_server",
    "compression_engine",
    "compression_engine.target",
]


@pytest.mark.parametrize("module", LIGHT)
def test_it_starts_where_no_django_is_installed(module: str) -> None:
    program = f"import sys; sys.modules['django'] = None; import {module}"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("alias", "status", "said"), [("production", 0, "admitted: "), ("staging", 1, "no: ")])
def test_a_host_admits_what_it_was_given_where_no_django_is_installed(
    tmp_path: Path, alias: str, status: int, said: str
) -> None:
    here = deploy(tmp_path)
    words = ["admit", str(here.folder), "--verdict", str(here.verdict), "--key", ISSUER.key_line, "--alias", alias]
    blocked = "import sys; sys.modules.update(dict.fromkeys(('django', 'rest_framework', 'drf_spectacular')))"
    program = f"{blocked}; from registry.cli.main import main; sys.exit(main({words!r}))"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == status, done.stderr
    assert (done.stdout + done.stderr).startswith(said)


def test_the_verifier_needs_the_standard_library_alone() -> None:
    program = (
        "import sys, runpy; sys.argv = ['offline_verify.py', '--help']\n"
        f"try:\n    runpy.run_path({str(ROOT / 'audit' / 'offline_verify.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n    sys.exit(end.code)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
