"""A report leaves the building as PDF/A-3a and PDF/UA-1 with its data attached; same data, same bytes; no name can stop it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pypdf import PdfReader

from audit import assessments, services
from audit.models import Assessment, Entry, Report
from audit.reports import data as report_data
from audit.reports import glyphs, pdf, tables, wording
from registry import storage
from registry.digests import canonical, parse_canonical, sha256
from registry.errors import Conflict, Forbidden, Unavailable
from registry.events import UnitError, unit
from registry.oversight import services as oversight
from tests.world import World
from tests.worlds.audit import Story, restore_keys_note
from tests.worlds.release import DAY


@pytest.fixture
def assessment(world: World, story: Story) -> Assessment:
    return services.issue_assessment(actor=world.cast.carla, model=story[0].model)


@dataclass(frozen=True)
class Told:
    """The data of one report and its PDF."""

    data: bytes
    printed: bytes

    @property
    def document(self) -> dict[str, Any]:
        return read(self.data)


_TOLD: list[Told] = []


@pytest.fixture
def told(request: pytest.FixtureRequest, story: Story) -> Told:
    """The report of one story, made and printed once."""
    if not _TOLD:
        data = services.report_of(request.getfixturevalue("assessment"))
        _TOLD.append(Told(data, pdf.render(data)))
    return _TOLD[0]


def read(data: bytes) -> dict[str, Any]:
    value: Any = parse_canonical(data)
    assert isinstance(value, dict)
    return value


def document(assessment: Assessment) -> dict[str, Any]:
    return read(services.report_of(assessment))


def words_of(data: bytes) -> str:
    """The text of the pages, white space and hyphens at line ends made plain."""
    pages = PdfReader(io.BytesIO(data)).pages
    return " ".join(" ".join(page.extract_text() for page in pages).split())


def test_the_pdf_answers_on_page_one_and_carries_its_data(world: World, assessment: Assessment) -> None:
    report = services.issue_report(actor=world.cast.carla, assessment=assessment)
    data = storage.read_bytes(report.pdf_digest, limit_bytes=10**8)
    reader = PdfReader(io.BytesIO(data))
    first = " ".join(reader.pages[0].extract_text().split())
    for said in ("search/sentences", "Of 72 subcategories", "The three worst gaps", "What is live", "Not covered",
                 "compliance officer", "not legal advice"):  # fmt: skip
        assert said in first
    live = document(assessment)["answers"]["live"][0]["version"]["digest"]
    assert live in "".join(first.split())
    attached = reader.attachments["report.json"][0]
    assert sha256(attached) == report.json_digest
    assert attached == services.report_of(assessment)


def test_the_pdf_says_that_it_is_an_archive_file_and_accessible(told: Told) -> None:
    reader = PdfReader(io.BytesIO(told.printed))
    metadata = reader.trailer["/Root"]["/Metadata"].get_data().decode()  # type: ignore[index,union-attr]
    assert "<pdfaid:part>3</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    root = reader.trailer["/Root"]
    assert root["/Lang"] == "en"  # type: ignore[index]
    assert root["/MarkInfo"]["/Marked"]  # type: ignore[index]
    assert "/StructTreeRoot" in root  # type: ignore[operator]


def test_every_font_is_inside(told: Told, tmp_path: Path) -> None:
    if shutil.which("pdffonts") is None:
        pytest.skip("pdffonts is not installed")
    target = tmp_path / "report.pdf"
    target.write_bytes(told.printed)
    lines = subprocess.run(["pdffonts", str(target)], capture_output=True, check=True, text=True).stdout.splitlines()[
        2:
    ]
    assert lines
    for line in lines:
        assert re.search(r"(LibertinusSerif|DejaVuSansMono)", line.replace("-", ""))
        assert line.split()[-5] == "yes"  # embedded


def test_the_same_data_give_the_same_bytes(assessment: Assessment) -> None:
    data = services.report_of(assessment)
    assert services.report_of(assessment) == data
    assert pdf.render(data) == pdf.render(data)


def test_all_72_rows_are_printed(told: Told) -> None:
    text = words_of(told.printed)
    for row in told.document["assessment"]["requirements"]:
        assert row["id"] in text.replace("\xa0", " ")
    assert "compliant" not in text


def test_the_compression_page_has_every_figure_with_its_sentence(told: Told) -> None:
    page = told.document["compression"]
    assert [m["metric"] for m in page["metrics"]][:2] == ["Size of the weights", "Size, times smaller"]
    cosine = next(m for m in page["metrics"] if m["metric"] == "Agreement with parent, mean cosine")
    assert (cosine["child"], cosine["interval"], cosine["n"]) == ("0.99951", "0.99947 to 0.99955", 320)
    assert cosine["limit"].startswith("at least")
    assert cosine["answer"] == "passed"
    assert page["run"]["recipe"]["steps"][0].startswith("quantize_weights")
    text = words_of(told.printed)
    assert "The model is 3.93 times smaller than the original." in text


def test_drift_and_rollback_are_told(told: Told) -> None:
    release = told.document["release"]
    states = [w["state"] for w in release["monitors"][0]["windows"]]
    assert states == ["healthy", "drifted", "healthy"]
    assert release["incidents"][0]["rolled_back"] is True
    moves = release["aliases"][0]["moves"]
    assert [m["kind"] for m in moves] == ["promoted", "promoted", "rolled-back"]
    assert moves[-1]["reason"] == "Answers moved; back to the parent."


def test_people_stand_as_role_and_short_id_never_by_name(world: World, assessment: Assessment) -> None:
    data = services.report_of(assessment)
    for name in ("carla", "omar", "otto"):
        assert name not in data.decode().lower()
        assert str(world.cast.people[name].pk)[-8:] in data.decode()


def test_the_second_report_tells_what_changed(world: World, assessment: Assessment) -> None:
    model = services.model_of(assessment)
    assert document(assessment)["changes"] is None
    oversight.sign_attestation(
        actor=world.cast.carla, stream=assessment.stream, team_id=world.team.pk, framework="nist_ai_rmf_1_0",
        requirement="GOVERN 3.1", statement="Three functions decide.", expires_at=timezone.now() + DAY * 30,
    )  # fmt: skip
    second = services.issue_assessment(actor=world.cast.carla, model=model)
    changes = document(second)["changes"]
    assert changes["assessment"] == str(assessment.pk)
    moved = [(row["id"], row["from"], row["to"], row["better"]) for row in changes["rows"]]
    assert moved == [("GOVERN 3.1", "missing", "attested", True)]


# --- text that a font cannot print, and text that looks like code ---


def test_names_that_no_font_has_are_printed_by_their_number(world: World) -> None:
    restore_keys_note()
    model = world.model()
    snapshot = assessments.prepare(model)
    data = report_data.build(assessments.assess_snapshot(snapshot, model), snapshot, None)
    data["answers"]["purpose"] = "検索 😀 Łódź \u202e evil #eval(1) $x$ *b* <a> \\ [c]"
    text = words_of(pdf.render(canonical(data)))
    assert "U+691CU+7D22 U+1F600 Łódź U+202E evil #eval(1) $x$ *b* <a> \\ [c]" in text


def test_every_character_that_counts_as_printable_compiles(tmp_path: Path) -> None:
    import typst

    starts, ends = glyphs._starts_and_ends()
    every = "".join(chr(c) for a, b in zip(starts, ends, strict=True) for c in range(a, b + 1))
    assert len(every) > 2500
    (tmp_path / "all.txt").write_text(every)
    (tmp_path / "main.typ").write_text(
        '#set document(title: "glyphs", date: datetime(year: 2026, month: 1, day: 1))\n'
        '#set text(lang: "en", font: ("Libertinus Serif", "DejaVu Sans Mono"))\n'
        '#let every = read("all.txt")\n#every #strong(every) #emph(every) #text(weight: "semibold", every)'
    )
    typst.compile(
        tmp_path / "main.typ", root=tmp_path, format="pdf", ignore_system_fonts=True, pdf_standards=["a-3a", "ua-1"]
    )


def test_no_control_or_direction_character_counts_as_printable() -> None:
    starts, ends = glyphs._starts_and_ends()
    for first, last in zip(starts, ends, strict=True):
        for code in range(first, last + 1):
            assert unicodedata.category(chr(code)) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
    assert glyphs.printable("a\u0301") == "á"
    assert glyphs.printable("a\x00b\u200b") == "aU+0000bU+200B"


# --- CSV ---


def test_the_csv_has_one_row_per_requirement(told: Told) -> None:
    data = tables.to_csv(told.document)
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert len(rows) == 72
    assert tuple(rows[0]) == tables.COLUMNS
    approved = next(r for r in rows if r["requirement"] == "MANAGE 1.1")
    assert approved["status"] == "evidenced"
    assert "sha256:" in approved["evidence"]


def test_no_cell_of_the_csv_is_a_formula(told: Told) -> None:
    data = told.document
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx"):
        data["assessment"]["requirements"][0]["reason"] = text
        rows = list(csv.DictReader(io.StringIO(tables.to_csv(data).decode("utf-8-sig"), newline="")))
        assert rows[0]["reason"] == f"'{text}"


# --- the act ---


def test_the_act_is_sealed_with_both_digests(world: World, assessment: Assessment) -> None:
    report = services.issue_report(actor=world.cast.carla, assessment=assessment)
    event = json.loads(bytes(Entry.objects.order_by("-position")[0].entry))["event"]
    assert event["kind"] == "report.issued"
    assert [ref["digest"] for ref in event["refs"]] == [report.json_digest, report.pdf_digest]
    assert report.template == "assessment-1 typst-0.15.2"


def test_an_assessment_has_one_report(world: World, assessment: Assessment) -> None:
    services.issue_report(actor=world.cast.carla, assessment=assessment)
    with pytest.raises(Conflict, match="already"):
        services.issue_report(actor=world.cast.carla, assessment=assessment)
    assert Report.objects.count() == 1


def test_only_officers_and_auditors_issue(world: World, assessment: Assessment) -> None:
    for nobody in (world.cast.ada, world.cast.omar, world.cast.otto, world.cast.eve):
        with pytest.raises(Forbidden):
            services.issue_report(actor=nobody, assessment=assessment)
        with pytest.raises(Forbidden):
            services.issue_assessment(actor=nobody, model=services.model_of(assessment))


def test_nothing_is_typeset_inside_a_unit(world: World, assessment: Assessment) -> None:
    data = services.report_of(assessment)
    with unit(world.cast.carla, role="compliance_officer"), pytest.raises(UnitError, match="outside every unit"):
        pdf.render(data)


def test_a_template_that_fails_says_where(
    assessment: Assessment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.typ"
    broken.write_text('#let x = json("data.json")\n#x.nowhere\n')
    monkeypatch.setattr(pdf, "_template", lambda: broken)
    with pytest.raises(Unavailable, match="nowhere"):
        pdf.render(services.report_of(assessment))


def test_a_typesetter_that_takes_too_long_is_stopped(
    assessment: Assessment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pdf, "TIME_LIMIT_SECONDS", 0.05)
    with pytest.raises(Unavailable, match="within"):
        pdf.render(services.report_of(assessment))


def test_the_typesetter_reads_nothing_outside_its_folder(
    assessment: Assessment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spy = tmp_path / "spy.typ"
    spy.write_text('#read("../../../../../../etc/passwd")')
    monkeypatch.setattr(pdf, "_template", lambda: spy)
    with pytest.raises(Unavailable, match="escape"):
        pdf.render(services.report_of(assessment))


def test_the_typesetter_needs_no_django() -> None:
    code = "import sys, audit.reports.typeset; sys.exit(any(n.split('.')[0] in ('django', 'registry') for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- words ---


def test_numbers_are_said_as_people_read_them() -> None:
    assert wording.size(90915840) == "90.92 MB"
    assert wording.size("512") == "512 B"
    assert wording.quantity("0.971875", "share") == "97.19 %"
    assert wording.quantity("8.71", "millisecond") == "8.71 ms"
    assert wording.number("1234567.891") == "1,234,600"
    assert wording.number("0.00001234") == "0.00001234"
    assert wording.quantity(None, "byte") == ""
