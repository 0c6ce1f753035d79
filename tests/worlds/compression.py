"""What tests of the room compression and above may need to have, made through services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compression_engine.recipe import shipped_recipes
from registry.access.models import Team
from registry.catalog.models import ModelVersion, RegisteredModel
from registry.compression import execution, services
from registry.compression.models import Recipe, Run
from registry.compression.training import TrainingAsked
from registry.events import Caller
from registry.provenance.models import DatasetVersion
from tests.worlds.catalog import CatalogWorld

SHIPPED = "smaller-same-speed"
QUICK = {"type": "pressmark/evaluation_plan/1", "measures": ["size", "fidelity"]}
"""A plan for runs of which something else than figures is looked at: time and memory take most of a measurement."""


class CompressionWorld(CatalogWorld):
    """One method per thing; each returns the row. `actor` is ada where nobody is named."""

    def recipe(
        self,
        slug: str = SHIPPED,
        document: Mapping[str, Any] | None = None,
        *,
        actor: Caller | None = None,
        team: Team | None = None,
    ) -> Recipe:
        """A published recipe: the shipped one of that name, or `document`. The same document gives the same row."""
        owner = team or self.team
        given = document or shipped_recipes()[slug].recipe.document()
        known = Recipe.objects.filter(team=owner, slug=slug).order_by("-number").first() if document is None else None
        return known or services.publish_recipe(actor=actor or self.cast.ada, team=owner, slug=slug, document=given)

    def arrays_dataset(self, rows: int = 64, seed: int = 7, uses: tuple[str, ...] = ("evaluation",)) -> DatasetVersion:
        """Rows for `tiny_onnx`, stored here."""
        return self.dataset_version(data=self.tiny_inputs(rows, seed), uses=uses)

    def run(
        self,
        parent: ModelVersion | None = None,
        *,
        recipe: Recipe | None = None,
        evaluation: DatasetVersion | None = None,
        model: RegisteredModel | None = None,
        calibration: DatasetVersion | None = None,
        baseline: DatasetVersion | None = None,
        out_of_distribution: DatasetVersion | None = None,
        actor: Caller | None = None,
        seed: int = 0,
        evaluation_file: str | None = None,
        plan: Mapping[str, Any] | None = QUICK,
        training: TrainingAsked | None = None,
    ) -> Run:
        """A queued run; nothing has worked on it yet. Without a `plan` everything is measured, which takes four times as long."""
        version = parent or self.version()
        return services.request_run(
            actor=actor or self.cast.ada,
            model=model or version.model,
            parent=version,
            recipe=recipe or self.recipe(),
            evaluation=evaluation or self.arrays_dataset(),
            calibration=calibration,
            baseline=baseline,
            out_of_distribution=out_of_distribution,
            seed=seed,
            evaluation_file=evaluation_file,
            plan=plan,
            training=training,
        )

    def executed(self, run: Run) -> Run:
        """The run after the real engine worked on it in this process. Needs `committed_db`: the heartbeat is a thread."""
        execution.execute(run.pk)
        return Run.objects.select_related("child", "failure", "model", "parent").get(pk=run.pk)
