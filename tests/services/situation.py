"""Run as a script inside an installation of its own: sets it up with the cast, and queues one run that takes some ten seconds.

python -m tests.services.situation HIDDEN ROWS        prints {"run": ..., "model": ...}
"""

from __future__ import annotations

import json
import sys

import django
from django.core.management import call_command


def main(hidden: int, rows: int) -> None:
    django.setup()
    from audit import keys
    from audit import services as audit
    from registry.ids import uuid7
    from tests.world import Cast, World

    call_command("migrate", verbosity=0, interactive=False)
    instance = uuid7()
    log, issuer = audit.make_keys(audit.origin_of(instance, 1), keys.folder())
    audit.create_ledger(instance=instance, log=log, issuer=issuer)
    world = World(Cast.assemble())
    parent = world.version(files={("model.onnx", "weights"): world.tiny_onnx(hidden=hidden)})
    run = world.run(parent, evaluation=world.arrays_dataset(rows=rows), plan=None)
    print(json.dumps({"run": str(run.pk), "model": str(run.model_id)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
