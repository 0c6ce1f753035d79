"""The form behind a run: which recipe on which data, and how its outcome is to be evaluated."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count
from django.utils.datastructures import MultiValueDict

from registry.access.queries import readable
from registry.catalog.models import ModelVersion
from registry.compression.models import Recipe
from registry.compression.services_shipped import shipped_beside
from registry.desk import queries
from registry.desk.plans import MAX_CHARACTERS, TASKS, ClassNamesError, PlanError, draft_of, prices_of
from registry.events import Caller
from registry.provenance.models import DatasetFile, DatasetVersion
from registry.provenance.stated import stated_in, with_corrections
from registry.release.models import Alias

ONLY_MEASURE = "measure"
SHIPPED = "shipped:"
"""Before the name of a recipe that ships and is not published here yet."""
_COMPRESS = "Compress by "
_FILES_SHOWN = 2000
USES_OFFERED = ("evaluation", "calibration", "baseline", "training")
DATA_FIELDS = ("evaluation", "calibration", "baseline", "out_of_distribution", "training")
WORK_FIELDS = ("recipe", "evaluation", "evaluation_file", "calibration", "baseline", "seed")
PLAN_FIELDS = ("task", "label", "classes", "slices", "protected")
DOCUMENT_FIELDS = ("plan", "plan_file")
PRICE_FIELDS = ("price_sheet", "price_sheet_file")
TRAINING_FIELDS = ("training", "teacher", "student", "at_least", "loses_at_most")
MORE_FIELDS = ("more_recipes",)
BESIDE_FIELDS = ("incumbent", "out_of_distribution", "allow_seen")


class RunForm(forms.Form):
    """The choices are what this caller may use for this version."""

    several: Collection[str] = ()
    """The ids of evaluation data of several files."""

    recipe = forms.ChoiceField(
        label="What to do",
        help_text="A recipe that ships is published in this team at its first use. “pressmark recipes” says what each is for.",
    )
    more_recipes = forms.MultipleChoiceField(
        label="Compare it with", required=False, widget=forms.CheckboxSelectMultiple,
        help_text="A run for each, all of them or none, and one table. Each is handed only what its steps ask for.",
    )  # fmt: skip
    evaluation = forms.ChoiceField(
        label="Evaluation data", help_text="What the outcome is measured on. It must not be the calibration data."
    )
    evaluation_file = forms.ChoiceField(
        label="File of the evaluation data", required=False,
        help_text="Where the data has several. One that is not listed is named by API, or by “pressmark evaluate --file”.",
    )  # fmt: skip
    calibration = forms.ChoiceField(
        label="Calibration data", required=False, help_text="Only for recipes that look at data while they compress."
    )
    training = forms.ChoiceField(
        label="Training data",
        required=False,
        help_text="Rows for steps that train. They must not be the evaluation data.",
    )
    teacher = forms.CharField(
        label="Teacher", required=False, max_length=200,
        help_text="TEAM/MODEL@N: the version whose answers are learned. Left out, it is the parent.",
    )  # fmt: skip
    student = forms.CharField(
        label="Begins as", required=False, max_length=200,
        help_text="TEAM/MODEL@N: where a step has the child begin as another version.",
    )  # fmt: skip
    at_least = forms.CharField(
        label="Answers that every step keeps", required=False, max_length=20,
        help_text="A share such as 0.99. A step that keeps less ends the run with the state before it.",
    )  # fmt: skip
    loses_at_most = forms.CharField(
        label="Quality that every step may lose", required=False, max_length=20,
        help_text="A share such as 0.01, one point; by labels, so it needs a plan with their column.",
    )  # fmt: skip
    baseline = forms.ChoiceField(
        label="Baseline data", required=False,
        help_text="What live traffic will be compared with. Left out, it is the evaluation data.",
    )  # fmt: skip
    seed = forms.IntegerField(
        min_value=0, max_value=2**31 - 1, initial=0, help_text="The same seed gives the same bytes."
    )
    task = forms.ChoiceField(
        label="What the model does",
        required=False,
        choices=[("", "no plan: size, speed and same answers only"), *TASKS.items()],
    )
    label = forms.CharField(
        label="Column of labels", required=False, max_length=200,
        help_text="What is right for a row. Without it nobody knows which answers are right, only which are the same.",
    )  # fmt: skip
    classes = forms.CharField(
        label="Names of the classes", required=False, max_length=MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One on each line in the order of the model’s outputs, or a JSON list. Needed where labels are names.",
    )  # fmt: skip
    slices = forms.CharField(
        label="Columns of groups", required=False, max_length=4000,
        help_text="Parted by commas. Each value is compared apart, so that an average hides nobody.",
    )  # fmt: skip
    protected = forms.CharField(
        label="Protected groups", required=False, max_length=4000,
        help_text="Those columns between whose values fairness is compared.",
    )  # fmt: skip
    plan = forms.CharField(
        label="A whole plan, pasted", required=False, max_length=MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text="JSON, pressmark/evaluation_plan/1: everything that the fields above do not say.",
    )  # fmt: skip
    plan_file = forms.FileField(label="Or as a file", required=False, widget=forms.FileInput(attrs={"accept": ".json"}))
    incumbent = forms.ChoiceField(
        label="Compare with what is served by", required=False, help_text="The version that it would take the place of."
    )
    out_of_distribution = forms.ChoiceField(
        label="Data of another kind", required=False,
        help_text="Rows that the model was not made for: does it notice?",
    )  # fmt: skip
    allow_seen = forms.BooleanField(
        label="Allow rows that training or calibration saw", required=False,
        help_text="Every figure is then marked, and gates do not accept it unless their policy says so.",
    )  # fmt: skip

    price_sheet = forms.CharField(
        label="A price sheet, pasted", required=False, max_length=MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"}),
        help_text="JSON, pressmark/price_sheet/1: what computing costs you.",
    )  # fmt: skip
    price_sheet_file = forms.FileField(
        label="Or as a file", required=False, widget=forms.FileInput(attrs={"accept": ".json"})
    )

    def clean(self) -> dict[str, Any]:
        """The fields, with `draft`, the plan that they make, and `prices`, the price sheet; None where nothing was given."""
        data: dict[str, Any] = super().clean() or {}
        self._clean_file(data)
        if data.get("more_recipes") and data.get("recipe") == ONLY_MEASURE:
            self.add_error(
                "more_recipes", "A measurement makes no child to compare: choose a recipe above, or none here."
            )
        try:
            document = _one_of(data, *DOCUMENT_FIELDS, "plan")
            data["draft"] = draft_of({name: data.get(name, "") for name in PLAN_FIELDS}, document)
        except ClassNamesError as error:
            self.add_error("classes", str(error))
        except PlanError as error:
            self.add_error("plan", str(error))
        try:
            data["prices"] = prices_of(_one_of(data, *PRICE_FIELDS, "price sheet"))
        except PlanError as error:
            self.add_error("price_sheet", str(error))
        return data

    def _clean_file(self, data: dict[str, Any]) -> None:
        """The path of the chosen file, which is one of the chosen data; None where these have one file alone."""
        evaluation, (of, _, path) = data.get("evaluation"), str(data.get("evaluation_file") or "").partition("/")
        data["evaluation_file"] = path or None
        if "evaluation" in self.errors or "evaluation_file" in self.errors:
            return
        if path and of != evaluation:
            self.add_error("evaluation_file", "This file is of other data; choose one of the evaluation data.")
        elif not path and evaluation in self.several:
            self.add_error("evaluation_file", "The evaluation data has several files: choose the one to measure on.")

    @property
    def parts(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        """The fields under their headings."""
        named = [
            ("What to run", "", WORK_FIELDS),
            ("How to evaluate", "What labels and groups are makes the difference between “the same” and “right”.", PLAN_FIELDS),
            ("What to compare with", "The parent and the first approved version stand beside it by themselves.", BESIDE_FIELDS),
        ]  # fmt: skip
        return [(title, about, [self[name] for name in names]) for title, about, names in named]

    @property
    def more(self) -> list[forms.BoundField]:
        """The field for those who try several recipes at once."""
        return [self[name] for name in MORE_FIELDS]

    @property
    def for_training(self) -> list[forms.BoundField]:
        """The fields for recipes that train, and for budgets that every step must keep."""
        return [self[name] for name in TRAINING_FIELDS]

    @property
    def trains(self) -> bool:
        """Whether any of them was filled in or is wrong: they are then shown at once."""
        return any(self[name].value() or self[name].errors for name in TRAINING_FIELDS)

    @property
    def document(self) -> list[forms.BoundField]:
        """The fields for those who bring a plan of their own."""
        return [self[name] for name in DOCUMENT_FIELDS]

    @property
    def prices(self) -> list[forms.BoundField]:
        """The fields for those who know what computing costs them."""
        return [self[name] for name in PRICE_FIELDS]


def run_form(
    caller: Caller,
    version: ModelVersion,
    data: Mapping[str, str] | None,
    files: MultiValueDict[str, UploadedFile[bytes]] | None = None,
) -> RunForm:
    """The form with the choices of this caller for this version."""
    form = RunForm(data, files)
    data_for, recipes = _data(caller), _recipes(caller)
    evaluation = data_for["evaluation"]
    named, parts = dict(evaluation), _files([uuid.UUID(key) for key, _ in evaluation])
    form.several = parts.keys()
    choices: dict[str, Sequence[Any]] = {
        "recipe": recipes,
        "more_recipes": [(value, said.removeprefix(_COMPRESS)) for value, said in recipes if value != ONLY_MEASURE],
        "evaluation": evaluation,
        "evaluation_file": [("", "its only file"), *((named[key], paths) for key, paths in parts.items())],
        "calibration": [("", "none"), *data_for["calibration"]],
        "training": [("", "none"), *data_for["training"]],
        "baseline": [("", "the evaluation data"), *data_for["baseline"]],
        "out_of_distribution": [("", "none"), *evaluation],
        "incumbent": _aliases(version),
    }
    for name, offered in choices.items():
        form.fields[name].choices = offered  # type: ignore[attr-defined]
    return form


def _one_of(data: Mapping[str, Any], pasted: str, uploaded: str, what: str) -> str:
    """The document that was pasted or uploaded; PlanError when both were, for nobody would see which of them counts."""
    text, file = str(data.get(pasted) or ""), data.get(uploaded)
    if text.strip() and file is not None:
        raise PlanError(f"Paste the {what} or give it as a file, not both: clear one of them.")
    return text if file is None else _text_of(file, what)


def _text_of(file: UploadedFile[bytes], what: str) -> str:
    if file.size is None or file.size > MAX_CHARACTERS:
        raise PlanError(f"The file has more than {MAX_CHARACTERS:,} bytes; a {what} is a short document, not the data.")
    try:
        return bytes(file.read()).decode()
    except UnicodeDecodeError:
        raise PlanError(f"The file is no text in UTF-8; give the {what} as JSON.") from None


def _recipes(caller: Caller) -> list[tuple[str, str]]:
    rows = readable(Recipe.objects.filter(ended_at=None), caller).select_related("team").order_by("slug", "-number")
    shown = list(rows[: queries.LIST_ROWS])
    compress = [(str(row.pk), f"{_COMPRESS}{row.team}/{row}") for row in shown]
    ships = [
        (f"{SHIPPED}{name}", f"{_COMPRESS}{name}, which ships") for name in shipped_beside({r.digest for r in shown})
    ]
    return [*compress, *ships, (ONLY_MEASURE, "Only measure this version as it is")]


def _data(caller: Caller) -> dict[str, list[tuple[str, str]]]:
    """By use the newest data for it whose rows are here, as many of each use as a list shows."""
    rows = readable(DatasetVersion.objects.filter(source="measured", purged_at=None), caller, team="dataset__team")
    rows = with_corrections(rows.select_related("dataset__team", "licence")).order_by("dataset__slug", "-number")
    found: dict[str, list[tuple[str, str]]] = {use: [] for use in USES_OFFERED}
    for row in rows.iterator(chunk_size=queries.LIST_ROWS):  # a use may be corrected, so no database tells it
        for use in found.keys() & set(stated_in(row).uses):
            said = f"{row.dataset.team}/{row}" + (f", {row.row_count} rows" if row.row_count else "")
            found[use].append((str(row.pk), said))
        if all(len(offered) >= queries.LIST_ROWS for offered in found.values()):
            break
    return {use: offered[: queries.LIST_ROWS] for use, offered in found.items()}


def _files(versions: Sequence[uuid.UUID]) -> dict[str, list[tuple[str, str]]]:
    """By version of several files these, under the value and the name that the form gives them: those of the newest data first."""
    rows = DatasetFile.objects.filter(dataset_version__in=versions)
    several = rows.values("dataset_version_id").annotate(count=Count("pk")).filter(count__gt=1)
    found: dict[str, list[tuple[str, str]]] = {str(row["dataset_version_id"]): [] for row in several}
    shown = rows.filter(dataset_version__in=list(found)).order_by("-dataset_version_id", "path")[:_FILES_SHOWN]
    for key, path, count in shown.values_list("dataset_version_id", "path", "row_count"):
        found[str(key)].append((f"{key}/{path}", f"{path}, {count} rows"))
    return {str(key): found[str(key)] for key in versions if str(key) in found}


def _aliases(version: ModelVersion) -> list[tuple[str, str]]:
    names = Alias.objects.filter(model=version.model_id).order_by("slug").values_list("slug", flat=True)
    return [("", "production, where it serves another version"), *((name, name) for name in names)]
