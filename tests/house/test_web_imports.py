"""A web process never loads the engine's libraries: they are large, and they parse what strangers send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "numpy",
    "tokenizers",
    "transformers",
    "safetensors",
    "scipy",
    "google.protobuf",
}
PROGRAM = """
import json, sys
import registry.wsgi
from django.test import Client
from django.urls import get_resolver
import registry.compression.tasks, registry.compression.services, compression_engine.recipe, compression_engine.inspect
answers = {path: Client().get(path).status_code for path in ("/", "/login/", "/api/v1/recipes/shipped", "/admin/")}
compression_engine.recipe.shipped_recipes()
print(json.dumps({"answers": answers, "modules": sorted(sys.modules)}))
"""


def loaded(tmp_path: Path, program: str) -> dict[str, object]:
    home = Path(__file__).resolve().parents[2]
    environment = {
        "PATH": os.environ["PATH"], "PRESSMARK_HOME": str(tmp_path / "home"), "PYTHONPATH": str(home),
        "DJANGO_SETTINGS_MODULE": "registry.settings", "PRESSMARK_ALLOWED_HOSTS": "testserver",
    }  # fmt: skip
    (tmp_path / "home").mkdir()
    migrate = [sys.executable, str(home / "manage.py"), "migrate", "--verbosity", "0"]
    subprocess.run(migrate, env=environment, check=True, cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_web_process_that_answers_pages_and_calls_has_loaded_none_of_them(tmp_path: Path) -> None:
    found = loaded(tmp_path, PROGRAM)
    modules = set(found["modules"])  # type: ignore[call-overload]
    assert {"registry.compression.api", "compression_engine.inspect", "celery"} <= modules
    assert modules & HEAVY == set()
    assert not any(name.startswith(("compression_engine.measure", "compression_engine.pipeline")) for name in modules)
    assert found["answers"]["/api/v1/recipes/shipped"] == 401  # type: ignore[index]
