"""What tests of the room catalog and above may need to have, made through services."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from registry.access.models import Actor, Team
from registry.access.queries import system_actor
from registry.catalog import services
from registry.catalog.edges import EdgeSpec
from registry.catalog.evidence import EvidenceSpec
from registry.catalog.manifest import FileSpec
from registry.catalog.models import Evidence, ModelVersion, RegisteredModel
from registry.events import Caller, unit
from registry.provenance.models import DatasetVersion
from tests.worlds.base import BaseWorld

if TYPE_CHECKING:
    from tests.worlds.provenance import ProvenanceWorld as Below
else:
    Below = BaseWorld  # `World` joins the rooms side by side

INPUT_WIDTH = 64


@functools.lru_cache(maxsize=32)
def make_onnx(seed: int = 1, hidden: int = 128) -> bytes:
    """A real net `x[batch, 64] -> MatMul -> Relu -> MatMul -> y[batch, 64]` with seeded float32 weights."""
    random = np.random.default_rng(seed)
    first = (random.standard_normal((INPUT_WIDTH, hidden)) / 8).astype(np.float32)
    second = (random.standard_normal((hidden, INPUT_WIDTH)) / 12).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INPUT_WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", INPUT_WIDTH])],
        [numpy_helper.from_array(first, "w1"), numpy_helper.from_array(second, "w2")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def figure(metric: str, value: str | None, unit_name: str = "ratio", **members: Any) -> dict[str, Any]:
    """A figure of FORMATS section 3; give `low`, `high`, `n`, `spread`, `slice`, `reason` where they matter."""
    base = {"high": None, "low": None, "metric": metric, "n": None, "reason": None, "slice": [], "spread": None}
    missing = {"reason": "not measured"} if value is None else {}
    return {**base, "unit": unit_name, "value": value, **missing, **members}


class CatalogWorld(Below):
    """One method per thing; each returns the row. `actor` is ada where nobody is named."""

    def tiny_onnx(self, seed: int = 1, hidden: int = 128) -> bytes:
        """Bytes of a real ONNX net; another seed gives other weights. `hidden=4096` is some 2 MB."""
        return make_onnx(seed, hidden)

    def tiny_inputs(self, rows: int = 64, seed: int = 7) -> bytes:
        """An .npz with rows for the input `x` of `tiny_onnx`."""
        return self.arrays(x=np.random.default_rng(seed).standard_normal((rows, INPUT_WIDTH)).astype(np.float32))

    def model(
        self, slug: str | None = None, *, owner: Actor | None = None, use_case: Any = None, actor: Caller | None = None,
        team: Team | None = None,
    ) -> RegisteredModel:  # fmt: skip
        return services.register_model(
            actor=actor or self.cast.ada,
            team=team or self.team,
            slug=slug or self.fresh_slug("model"),
            owner=owner or self.cast.people["ada"],
            title="A small net",
            use_case=use_case,
        )

    def version(
        self,
        model: RegisteredModel | None = None,
        *,
        seed: int = 1,
        files: Mapping[tuple[str, str], bytes] | None = None,
        licence: str = "Apache-2.0",
        training_data: str = "complete",
        edges: Sequence[EdgeSpec] = (),
        note: str = "",
        actor: Caller | None = None,
    ) -> ModelVersion:
        """An uploaded version; `files` maps (path, role) to bytes and is one ONNX file of that seed where left out."""
        caller = actor or self.cast.ada
        content = files or {("model.onnx", "weights"): self.tiny_onnx(seed)}
        specs = [FileSpec(path, role, self.upload(data, actor=caller).digest) for (path, role), data in content.items()]
        return services.register_version(
            actor=caller,
            model=model or self.model(actor=actor),
            files=specs,
            licence=self.licence(licence),
            training_data=training_data,
            note=note,
            edges=edges,
        )

    def derived_version(
        self,
        parent: ModelVersion,
        *,
        model: RegisteredModel | None = None,
        seed: int | None = None,
        operations: Sequence[str] = ("quantized",),
        data: Sequence[DatasetVersion] = (),
        requested_by: str = "ada",
    ) -> ModelVersion:
        """A child as a run's unit writes it (without a run): executed edges, the worker acting for `requested_by`."""
        person = self.cast.people[requested_by]
        content = self.tiny_onnx(seed if seed is not None else 1000 + parent.number, 32)
        digest = self.upload(content).digest
        caller = Caller(actor_id=system_actor().pk, via="worker", on_behalf_of=person.pk)
        with unit(caller, role="system") as opened:
            return services.add_derived_version(
                opened,
                model=model or parent.model,
                parent=parent,
                files=[FileSpec("model.onnx", "weights", digest)],
                requested_by=person,
                operations=list(operations),
                data=list(data),
            )

    def evidence(
        self,
        version: ModelVersion,
        kind: str,
        figures: Sequence[Mapping[str, Any]],
        *,
        source: str = "measured",
        parent: ModelVersion | None = None,
        dataset_version: DatasetVersion | None = None,
        seed: int = 0,
        by: str = "ada",
    ) -> Evidence:
        """Evidence as the worker attaches it in somebody's name, declared evidence by them; build `figures` with `figure()`."""
        subjects = [{"digest": version.digest, "role": "version"}]
        subjects += [{"digest": parent.digest, "role": "parent"}] if parent else []
        subjects += [{"digest": dataset_version.digest, "role": "dataset"}] if dataset_version else []
        document = {
            "environment": [{"name": "python", "value": "3.11"}],
            "figures": [dict(row) for row in figures],
            "kind": kind,
            "method": {"name": f"test_{kind}", "version": "1"},
            "seed": seed,
            "source": source,
            "subjects": subjects,
            "type": "pressmark/evidence/1",
        }
        person = self.cast.people[by]
        if source == "declared":
            by_hand = Caller(actor_id=person.pk, via="cli")
            return services.attach_evidence(actor=by_hand, version=version, document=document)
        spec = EvidenceSpec(kind, source, document, parent, dataset_version)
        with unit(Caller(actor_id=system_actor().pk, via="worker", on_behalf_of=person.pk), role="system") as opened:
            return services.add_evidence(opened, version=version, specs=[spec], created_by=person)[0]
