"""Effective terms along the lineage: which source decides, on which path, and that unknown stays unknown."""

from __future__ import annotations

from registry.catalog import queries
from registry.catalog.edges import EdgeSpec
from registry.catalog.terms import EffectiveTerms, Link, Source, effective_terms
from registry.provenance.licences import TERMS, terms_of
from tests.world import World


def source(key: str, licence: str | None, kind: str = "version", uses: tuple[str, ...] = ()) -> Source:
    if licence is None:
        return Source(key, kind, key)
    terms = terms_of(licence)
    answers = {name: (term.answer, term.sentence) for name, term in terms.answers.items()}
    return Source(key, kind, key, licence, answers, uses, terms.notes)


def along(*sources: Source, links: list[tuple[str, str, str]], root: str = "child") -> EffectiveTerms:
    return effective_terms(root, {s.key: s for s in sources}, [Link(*link) for link in links])


def test_a_version_alone_has_the_terms_of_its_licence() -> None:
    found = along(source("child", "Apache-2.0"), links=[])
    assert found.answers["commercial_use"] == "allowed"
    assert found.answers["notice"] == "conditions"
    assert list(found.answers) == list(TERMS)


def test_every_term_has_a_proof_that_names_source_and_licence() -> None:
    found = along(source("child", "MIT"), source("base", "CC-BY-NC-4.0"), links=[("child", "base", "base")])
    for term, answer in found.answers.items():
        steps = found.because(term)
        assert steps, term
        assert all(
            step.answer == answer and step.licence in ("MIT", "CC-BY-NC-4.0") and step.sentence for step in steps
        )


def test_a_non_commercial_base_two_steps_up_forbids_commercial_use_and_the_path_leads_to_it() -> None:
    found = along(
        source("child", "MIT"), source("middle", "MIT"), source("far", "CC-BY-NC-4.0"),
        links=[("child", "middle", "base"), ("middle", "far", "base")],
    )  # fmt: skip
    assert found.answers["commercial_use"] == "forbidden"
    (proof,) = found.because("commercial_use")
    assert (proof.source, proof.licence) == ("far", "CC-BY-NC-4.0")
    assert proof.path == ("base: middle", "base: far")


def test_non_commercial_calibration_data_binds_the_model() -> None:
    data = source("data", "CC-BY-NC-4.0", "dataset", ("calibration",))
    found = along(source("child", "Apache-2.0"), data, links=[("child", "data", "data")])
    assert found.answers["commercial_use"] == "forbidden"
    assert found.because("commercial_use")[0].path == ("data: data",)


def test_data_for_evaluation_alone_binds_nothing() -> None:
    data = source("data", "CC-BY-NC-4.0", "dataset", ("baseline", "evaluation"))
    found = along(source("child", "Apache-2.0"), data, links=[("child", "data", "data")])
    assert found.answers["commercial_use"] == "allowed"
    assert [c.binds for c in found.considered if c.source == "data"] == [
        "Nothing binds: it was used for baseline and evaluation only."
    ]


def test_data_for_evaluation_binds_all_the_same_where_the_edge_says_that_the_model_was_shaped_by_it(
    world: World,
) -> None:
    """Else whoever registers data "for evaluation" could train on it and keep its terms away."""
    rows = world.dataset_version(uses=("evaluation",), licence="CC-BY-NC-4.0")
    model = world.model()
    measured = world.version(model, seed=1, edges=[EdgeSpec("data", dataset_version=rows)])
    assert queries.effective_terms(measured).answers["commercial_use"] == "allowed"
    for seed, operation in enumerate(("fine-tuned", "distilled", "quantized"), start=2):
        tuned = world.version(model, seed=seed, edges=[EdgeSpec("data", (operation,), dataset_version=rows)])
        found = queries.effective_terms(tuned)
        assert found.answers["commercial_use"] == "forbidden"
        assert found.because("commercial_use")[0].path == (f"data that shaped it: search/{rows}",)
        below = world.derived_version(tuned, seed=100 + seed)
        assert queries.effective_terms(below).answers["commercial_use"] == "forbidden"


def test_a_limit_on_passing_on_the_data_itself_does_not_bind_the_model() -> None:
    data = source("data", "LicenseRef-pressmark-research-only", "dataset", ("training",))
    found = along(source("child", "CC0-1.0"), data, links=[("child", "data", "data")])
    assert found.answers["redistribution"] == "allowed"
    assert found.answers["commercial_use"] == "forbidden"


def test_whether_data_that_may_not_be_changed_may_train_a_model_is_unknown() -> None:
    data = source("data", "CC-BY-ND-4.0", "dataset", ("training",))
    found = along(source("child", "Apache-2.0"), data, links=[("child", "data", "data")])
    assert found.answers["modification"] == "unknown"
    assert "not settled" in found.because("modification")[0].sentence


def test_data_of_which_nobody_knows_whether_it_may_be_changed_is_not_said_to_forbid_it() -> None:
    data = source("data", "LicenseRef-pressmark-unknown", "dataset", ("training",))
    found = along(source("child", "Apache-2.0"), data, links=[("child", "data", "data")])
    assert found.answers["modification"] == "unknown"
    assert found.because("modification")[0].sentence == data.answers["modification"][1]


def test_a_teacher_whose_licence_is_silent_on_outputs_binds_nothing() -> None:
    found = along(source("child", "MIT"), source("teacher", "GPL-3.0-only"), links=[("child", "teacher", "teacher")])
    assert found.answers["share_alike"] == "allowed"


def test_a_teacher_with_conditions_on_outputs_hands_on_naming_and_use_limits_but_not_its_weights_terms() -> None:
    llama = source("teacher", "LicenseRef-pressmark-llama-3.1-community")
    found = along(source("child", "MIT"), llama, links=[("child", "teacher", "teacher")])
    assert found.answers["naming"] == "conditions"
    assert found.answers["use_restrictions"] == "conditions"
    assert found.because("naming")[0].source == "teacher"
    assert "begins its name with Llama" in found.because("redistribution")[-1].sentence


def test_a_teacher_whose_output_clause_is_unknown_makes_use_of_the_student_unknown() -> None:
    found = along(source("child", "MIT"), source("teacher", "CC-BY-SA-4.0"), links=[("child", "teacher", "teacher")])
    assert found.answers["commercial_use"] == "unknown"
    assert found.answers["naming"] == "allowed"


def test_an_ancestor_without_a_known_licence_makes_every_term_unknown() -> None:
    found = along(source("child", "MIT"), source("base", None, "outside"), links=[("child", "base", "base")])
    assert set(found.answers.values()) == {"unknown"}
    assert "not known here" in found.because("commercial_use")[0].sentence


def test_forbidden_is_stricter_than_unknown() -> None:
    found = along(
        source("child", "MIT"), source("a", None, "outside"), source("b", "CC-BY-NC-4.0"),
        links=[("child", "a", "merge-input"), ("child", "b", "merge-input")],
    )  # fmt: skip
    assert found.answers["commercial_use"] == "forbidden"
    assert found.answers["redistribution"] == "unknown"


def test_two_families_that_both_want_derivatives_are_not_assumed_to_fit_together() -> None:
    found = along(
        source("child", "GPL-3.0-only"), source("data", "CC-BY-SA-4.0", "dataset", ("training",)),
        links=[("child", "data", "data")],
    )  # fmt: skip
    assert found.answers["share_alike"] == "unknown"
    assert "CC-BY-SA-4.0 and GPL-3.0" in found.because("share_alike")[0].sentence


def test_one_family_in_two_spellings_fits_together() -> None:
    found = along(
        source("child", "GPL-3.0-only"), source("base", "GPL-3.0-or-later"), links=[("child", "base", "base")]
    )  # fmt: skip
    assert found.answers["share_alike"] == "conditions"


def test_share_alike_of_evaluation_data_is_no_conflict() -> None:
    data = source("data", "CC-BY-SA-4.0", "dataset", ("evaluation",))
    found = along(source("child", "GPL-3.0-only"), data, links=[("child", "data", "data")])
    assert found.answers["share_alike"] == "conditions"


def test_a_choice_between_licences_is_said_in_the_notes() -> None:
    found = along(source("child", "MIT OR GPL-3.0-only"), links=[])
    assert any("Licensee's choice: MIT" in note for note in found.notes)


def test_a_diamond_of_many_paths_is_walked_once_per_source() -> None:
    sources = [source("child", "MIT")]
    links = []
    above = ["child"]
    for depth in range(40):  # 2^40 paths
        pair = [f"a{depth}", f"b{depth}"]
        sources += [source(name, "MIT") for name in pair]
        links += [(child, parent, "merge-input") for child in above for parent in pair]
        above = pair
    sources.append(source("top", "CC-BY-NC-4.0"))
    links += [(child, "top", "base") for child in above]
    found = along(*sources, links=links)
    (proof,) = found.because("commercial_use")
    assert proof.source == "top"
    assert (len(proof.path), proof.path[0], proof.path[-1]) == (25, "17 steps before", "base: top")


def test_a_circle_ends_is_said_and_frees_nothing() -> None:
    found = along(
        source("child", "MIT"), source("x", "MIT"), source("y", "MIT"),
        links=[("child", "x", "base"), ("x", "y", "base"), ("y", "x", "base"), ("y", "y", "teacher")],
    )  # fmt: skip
    assert set(found.answers.values()) == {"unknown"}
    assert "circle" in found.because("commercial_use")[0].source
    assert any("runs in a circle" in note for note in found.notes)
    assert {row.source for row in found.considered} >= {"child", "x", "y"}


def test_many_sources_of_one_answer_are_said_where_they_are_not_listed() -> None:
    sources = [source("child", "MIT"), *(source(f"b{n}", "CC-BY-NC-4.0") for n in range(60))]
    found = along(*sources, links=[("child", f"b{n}", "merge-input") for n in range(60)])
    assert len(found.because("commercial_use")) == 50
    assert "More than 50 sources give this answer to commercial_use; the nearest are named." in found.notes


def test_every_source_of_a_duty_is_listed_nearest_first() -> None:
    found = along(
        source("child", "CC0-1.0"), source("near", "CC-BY-4.0"), source("far", "MIT"),
        links=[("child", "near", "base"), ("near", "far", "base")],
    )  # fmt: skip
    assert [(p.source, len(p.path)) for p in found.because("notice")] == [("near", 1), ("far", 2)]
    assert [p.source for p in found.because("jurisdiction")] == ["child"]
