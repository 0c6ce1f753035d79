"""SPDX expressions and the terms pack."""

from __future__ import annotations

import pytest

from registry.errors import Invalid
from registry.provenance.licences import ANSWERS, TERMS, normalise, own_licences, pack, terms_of
from registry.provenance.services_licences import MAX_SENTENCE_CHARACTERS

PROMISED = [
    "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "PSF-2.0", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0", "GPL-2.0-only", "GPL-2.0-or-later",
    "GPL-3.0-only", "GPL-3.0-or-later", "AGPL-3.0-only", "AGPL-3.0-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later",
    "MPL-2.0", "LicenseRef-pressmark-openrail-m", "LicenseRef-pressmark-llama-community",
    "LicenseRef-pressmark-gemma-terms", "LicenseRef-pressmark-research-only", "LicenseRef-pressmark-proprietary",
    "LicenseRef-pressmark-unknown",
    "ISC", "Unlicense", "0BSD", "CC-BY-3.0", "CC-BY-SA-3.0", "CC-BY-NC-3.0", "CC-BY-NC-SA-3.0", "CC-BY-ND-3.0",
    "CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "C-UDA-1.0",
    "OGL-UK-3.0", "LGPL-2.1-only", "LGPL-2.1-or-later", "EPL-2.0", "EUPL-1.2",
    *(
        f"LicenseRef-pressmark-{name}"
        for name in (
            "creativeml-openrail-m", "openrail-plus-plus-m", "bigscience-bloom-rail-1.0", "bigcode-openrail-m-1",
            "llama-1-non-commercial", "llama-2-community", "llama-3-community", "llama-3.1-community", "llama-3.2-community",
            "llama-3.3-community", "llama-4-community", "falcon-180b-tii", "tii-falcon-2", "mistral-research",
            "mistral-non-production", "deepseek-model-1.0", "tongyi-qianwen", "qwen-2024", "qwen-research", "cohere-cc-by-nc",
            "nvidia-open-model", "stability-community", "us-government-work", "non-commercial-research-data",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(pack().entries))
def test_each_licence_of_the_pack_is_complete_has_a_source_and_a_sentence_for_every_term(name: str) -> None:
    entry = pack().entries[name]
    assert entry.source.startswith(("https://", "declared by whoever registers")), entry.source
    terms = terms_of(normalise(name))
    assert list(terms.answers) == list(TERMS)
    for term, given in terms.answers.items():
        assert given.answer in ANSWERS
        assert given.sentence.isascii(), term
        assert given.sentence.endswith("."), (term, given.sentence)
        assert 10 <= len(given.sentence) <= MAX_SENTENCE_CHARACTERS, (term, given.sentence)


def test_the_pack_covers_what_models_and_data_come_under() -> None:
    assert set(PROMISED) <= set(pack().entries)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("2", "forbidden"),
        ("3", "forbidden"),
        ("3.1", "conditions"),
        ("3.2", "conditions"),
        ("3.3", "conditions"),
        ("4", "conditions"),
    ],
)
def test_the_output_clause_of_llama_changed_between_its_versions(name: str, answer: str) -> None:
    assert terms_of(f"LicenseRef-pressmark-llama-{name}-community").answers["output_use"].answer == answer


@pytest.mark.parametrize(
    ("name", "term", "answer"),
    [
        ("CC-BY-NC-4.0", "commercial_use", "forbidden"),
        ("CC-BY-NC-SA-3.0", "commercial_use", "forbidden"),
        ("EPL-2.0", "commercial_use", "conditions"),
        ("MPL-2.0", "jurisdiction", "conditions"),
        ("EPL-1.0", "jurisdiction", "conditions"),
        ("LicenseRef-pressmark-llama-4-community", "jurisdiction", "conditions"),
        ("LicenseRef-pressmark-llama-community", "output_use", "unknown"),
        ("LicenseRef-pressmark-gemma-terms", "output_use", "conditions"),
        ("LicenseRef-pressmark-hosted-model-output", "output_use", "forbidden"),
        ("LicenseRef-pressmark-stability-community", "output_use", "forbidden"),
        ("LicenseRef-pressmark-tongyi-qianwen", "output_use", "forbidden"),
        ("LicenseRef-pressmark-qwen-2024", "output_use", "conditions"),
    ],
)
def test_clauses_that_are_easily_read_too_mildly(name: str, term: str, answer: str) -> None:
    assert terms_of(name).answers[term].answer == answer


@pytest.mark.parametrize(
    ("written", "spelling"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("  MIT  ", "MIT"),
        ("mit or (apache-2.0 and cc-by-4.0)", "MIT OR (Apache-2.0 AND CC-BY-4.0)"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("licenseref-pressmark-unknown", "LicenseRef-pressmark-unknown"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
    ],
)
def test_an_expression_has_one_spelling(written: str, spelling: str) -> None:
    assert normalise(written) == spelling


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("", "licence-missing"),
        ("   ", "licence-missing"),
        ("Apache-3.0", "licence-unknown"),
        ("MIT AND Apach-2.0", "licence-unknown"),
        ("LicenseRef-pressmark-invented", "licence-unknown"),
        ("LicenseRef-scancode-public-domain", "licence-unknown"),
        ("LicenseRef-Apache", "licence-unknown"),
        ("MIT AND", "licence-expression"),
        ("(MIT", "licence-expression"),
        ("Classpath-exception-2.0", "licence-expression"),
        ("MIT\nApache-2.0", "licence-expression"),
        ("MIT OR " * 40 + "MIT", "licence-expression"),
        ("(" * 190 + "MIT", "licence-expression"),
        ("Lizenz für alles", "licence-expression"),
    ],
)
def test_what_is_no_expression_is_refused_with_a_code(expression: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        normalise(expression)
    assert refused.value.code == code
    assert refused.value.hint


def test_an_unknown_id_is_named_with_close_matches() -> None:
    with pytest.raises(Invalid) as refused:
        normalise("MIT AND Apach-2.0")
    assert refused.value.detail.startswith("Apach-2.0 is no SPDX licence id")
    assert "Did you mean Apache-2.0" in refused.value.hint
    assert refused.value.members["close"][0] == "Apache-2.0"


def test_and_takes_the_strictest_answer_of_each_term() -> None:
    terms = terms_of("MIT AND CC-BY-NC-4.0 AND Zlib")
    assert terms.answers["commercial_use"].answer == "forbidden"
    assert terms.answers["redistribution"].answer == "unknown"  # nobody wrote the terms of Zlib down
    assert terms.licences == ("MIT", "CC-BY-NC-4.0", "Zlib")


def test_or_is_the_choice_of_one_licence_as_a_whole() -> None:
    terms = terms_of("CC-BY-NC-4.0 OR GPL-3.0-only")
    assert terms.answers["commercial_use"].answer == "allowed"
    assert terms.answers["share_alike"].answer == "conditions"  # the price of that choice, not the best of both
    assert "Licensee's choice: GPL-3.0-only" in terms.notes[-1]


def test_a_choice_never_falls_on_a_licence_that_nobody_knows() -> None:
    assert terms_of("Zlib OR MIT").licences == ("MIT",)
    assert terms_of("LicenseRef-pressmark-unknown OR CC-BY-4.0").licences == ("CC-BY-4.0",)


def test_an_exception_is_not_read_and_that_is_said() -> None:
    terms = terms_of("GPL-2.0-only WITH Classpath-exception-2.0")
    assert terms.answers["share_alike"].answer == "conditions"
    assert "Classpath-exception-2.0 is not read" in terms.notes[0]


def test_a_listed_licence_outside_the_pack_is_unknown_in_every_term() -> None:
    terms = terms_of(normalise("Zlib"))
    assert {t.answer for t in terms.answers.values()} == {"unknown"}


def test_our_own_ids_are_offered_in_the_hint() -> None:
    with pytest.raises(Invalid) as refused:
        normalise("my-own-licence")
    assert all(name in refused.value.hint for name in own_licences())
