"""A bundle leaves the building: the product's verifier, in a fresh process, with key and checkpoint from outside, says yes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from django.utils import timezone

from audit import bundles, checkpoints, dsse, erasure, keys, notes, services
from audit.bundles import log
from audit.models import Bundle, Entry, Witness
from audit.signing import Signer
from registry import storage
from registry.access import services as access
from registry.access.models import Role, Text
from registry.catalog.edges import EdgeSpec
from registry.catalog.models import ModelVersion
from registry.digests import parse_canonical
from registry.errors import BytesDiffer, Conflict, Forbidden, Invalid, Unavailable
from registry.events import Caller
from tests.audit.handed_over import files_of, issued, outside, results, verifier
from tests.world import World
from tests.worlds.audit import restore_keys_note, tamper


def test_a_stranger_gets_four_times_yes(world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path) -> None:
    parent, _ = story
    early = world.checkpoint().note.encode()
    assessment = services.issue_assessment(actor=world.cast.carla, model=parent.model)
    services.issue_report(actor=world.cast.carla, assessment=assessment)
    target = bundles.build(issued(world, parent), tmp_path / "bundle.zip")
    for note in (early, checkpoints.outside_notes()[-1]):
        code, verdict = verifier(target, *outside(tmp_path, note))
        assert results(verdict) == ["yes"] * 4, verdict
        assert code == 0
        assert verdict["notes"] == []


def test_without_key_and_checkpoint_it_is_not_shown_green(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    target = bundles.build(issued(world, story[0]), tmp_path / "bundle.zip")
    code, verdict = verifier(target)
    assert code == 3
    assert results(verdict) == ["yes", "yes", "not checked", "not checked"]


def test_one_changed_byte_is_named(world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path) -> None:
    target = bundles.build(issued(world, story[0]), tmp_path / "bundle.zip")
    data = bytearray(target.read_bytes())
    place = data.index(b'"kind":"run.requested"')
    data[place + 9] ^= 1
    target.write_bytes(bytes(data))
    code, verdict = verifier(target, *outside(tmp_path, checkpoints.outside_notes()[-1]))
    assert code == 1
    assert "log/entries.jsonl" in json.dumps(verdict)


def test_the_same_bundle_gives_the_same_bytes_after_later_checkpoints_and_cosignatures(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    bundle = issued(world, story[0])
    first = bundles.build(bundle, tmp_path / "first.zip").read_bytes()
    size = checkpoints.ledger_size()
    Witness.objects.create(
        name="late.example", size=size, line="\u2014 late.example AAAA\n", cosigned_at=timezone.now()
    )
    world.model()
    world.checkpoint()
    assert bundles.build(bundle, tmp_path / "second.zip").read_bytes() == first


def test_openssl_and_ssh_accept_the_signatures(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    missing = [name for name in ("openssl", "ssh-keygen") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    target = bundles.build(issued(world, story[0]), tmp_path / "bundle.zip")
    folder = tmp_path / "open"
    with zipfile.ZipFile(target) as archive:
        archive.extractall(folder)
    page = (folder / "VERIFY.md").read_text()
    openssl = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "keys/issuer.pem", "-in", "manifest.json",
               "-sigfile", "manifest.sig"]  # fmt: skip
    assert " ".join(openssl) in page
    subprocess.run(openssl, cwd=folder, check=True, capture_output=True)
    name = keys.issuer_signer().name
    ssh = ["ssh-keygen", "-Y", "verify", "-f", "keys/allowed_signers", "-I", name, "-n", "pressmark-bundle", "-s",
           "manifest.json.sig"]  # fmt: skip
    assert " ".join(ssh) in page
    with (folder / "manifest.json").open("rb") as manifest:
        subprocess.run(ssh, cwd=folder, check=True, capture_output=True, stdin=manifest)


def test_it_holds_whole_streams_documents_texts_and_statements(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    parent, child = story
    files = files_of(issued(world, parent), tmp_path)
    lines = [json.loads(line) for line in files["log/entries.jsonl"].splitlines()]
    kinds = {line["stream"].partition(":")[0] for line in lines}
    assert {"instance", "model", "monitor", "dataset", "licence", "recipe", "policy", "use_case", "team"} == kinds
    texts = json.loads(files["texts.json"])["texts"]
    assert "Answers moved; back to the parent." in {text["value"] for text in texts}
    run = next(path for path in files if path.startswith("statements/run-"))
    statement = json.loads(dsse.open_envelope(files[run], keys.issuer_signer().public))
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"][0]["digest"]["sha256"] == child.digest.removeprefix("sha256:")
    dependencies = {d["name"]: d for d in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert dependencies["parent (base)"]["digest"]["sha256"] == parent.digest.removeprefix("sha256:")
    assert set(dependencies) == {"parent (base)", "evaluation", "recipe"}
    assert sum(path.startswith("statements/evidence-") for path in files) == 9


def test_models_of_others_are_not_in_it(world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path) -> None:
    other = world.version(seed=5)
    files = files_of(issued(world, story[0]), tmp_path)
    assert str(other.model_id).encode() not in files["log/entries.jsonl"]
    assert f"documents/{other.digest.removeprefix('sha256:')}" not in files


def test_it_is_pending_until_a_checkpoint_covers_its_entry(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    world.checkpoint()
    bundle = services.issue_bundle(actor=world.cast.carla, model=story[0].model)
    with pytest.raises(Unavailable, match="pending") as refused:
        bundles.build(bundle, tmp_path / "bundle.zip")
    assert "keeper" in refused.value.hint
    assert not (tmp_path / "bundle.zip").exists()
    checkpoints.sign_next()
    assert bundles.build(bundle, tmp_path / "bundle.zip").exists()


def test_the_recipients_own_checkpoint_is_led_on_from(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = world.checkpoint()
    monkeypatch.setattr(log, "NEWEST_CHECKPOINTS", 0)
    world.teams(2)
    world.checkpoint()
    bundle = issued(world, story[0], checkpoint=theirs.note.encode())
    target = bundles.build(bundle, tmp_path / "bundle.zip")
    code, _ = verifier(target, *outside(tmp_path, theirs.note.encode()))
    assert code == 0
    plain = bundles.build(issued(world, story[0]), tmp_path / "plain.zip")
    assert verifier(plain, *outside(tmp_path, theirs.note.encode()))[0] == 3


def test_what_is_no_checkpoint_is_refused(world: World, story: tuple[ModelVersion, ModelVersion]) -> None:
    with pytest.raises(Invalid, match="no checkpoint"):
        services.issue_bundle(actor=world.cast.carla, model=story[0].model, checkpoint=b"hello\n")
    assert not Bundle.objects.exists()


def test_a_checkpoint_of_another_log_is_refused(world: World, story: tuple[ModelVersion, ModelVersion]) -> None:
    stranger = Signer.generate("pressmark/01890a5d-ac96-774b-bcce-b302099a8099/1")
    impostor = Signer.generate(keys.log_signer().name)
    for signer in (stranger, impostor):
        with pytest.raises(Invalid, match="not of this ledger"):
            note = notes.sign_checkpoint(signer, 5, b"\x01" * 32)
            services.issue_bundle(actor=world.cast.carla, model=story[0].model, checkpoint=note)
    assert not Bundle.objects.exists()


def test_a_checkpoint_that_the_ledger_does_not_continue_is_refused_and_called_evidence(
    world: World, story: tuple[ModelVersion, ModelVersion]
) -> None:
    size = world.checkpoint().size
    for other in (notes.sign_checkpoint(keys.log_signer(), n, b"\x01" * 32) for n in (size, size + 100)):
        with pytest.raises(Conflict, match="does not continue") as refused:
            services.issue_bundle(actor=world.cast.carla, model=story[0].model, checkpoint=other)
        assert "Keep it" in refused.value.hint
    assert not Bundle.objects.exists()


def test_an_erased_text_is_not_opened_and_the_bundle_still_verifies(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    text = Text.objects.get(value="Answers moved; back to the parent.", purpose="reason")
    erasure.erase(actor=world.cast.root, texts=[text], reason="Asked for by the person.")
    target = bundles.build(issued(world, story[0]), tmp_path / "bundle.zip")
    with zipfile.ZipFile(target) as archive:
        opened = {row["id"] for row in json.loads(archive.read("texts.json"))["texts"]}
    assert str(text.pk) not in opened
    assert verifier(target, *outside(tmp_path, checkpoints.outside_notes()[-1]))[0] == 0


def test_a_lost_document_stops_the_build_and_is_named(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    bundle = issued(world, story[0])
    evidence = story[1].evidence.order_by("id")[0]
    storage.path_of(evidence.digest).unlink()
    with pytest.raises(BytesDiffer, match=evidence.digest):
        bundles.build(bundle, tmp_path / "bundle.zip")


def test_a_stream_that_changed_after_the_scope_was_sealed_stops_the_build(
    world: World, story: tuple[ModelVersion, ModelVersion], tmp_path: Path
) -> None:
    bundle = issued(world, story[0])
    last = Entry.objects.filter(stream=f"model:{story[0].model_id}").order_by("-position")[0]
    tamper("audit_entry", "DELETE FROM audit_entry WHERE position = %s", [last.position])
    with pytest.raises(Conflict, match="no longer"):
        bundles.build(bundle, tmp_path / "bundle.zip")


def test_only_officers_and_auditors_issue(world: World, story: tuple[ModelVersion, ModelVersion]) -> None:
    for nobody in (world.cast.ada, world.cast.omar, world.cast.otto, world.cast.eve):
        with pytest.raises(Forbidden):
            services.issue_bundle(actor=nobody, model=story[0].model)
    assert not Bundle.objects.exists()


def test_the_act_is_sealed_with_the_scope_that_it_holds(world: World, story: tuple[ModelVersion, ModelVersion]) -> None:
    bundle = services.issue_bundle(actor=world.cast.carla, model=story[0].model)
    entry = Entry.objects.order_by("-position")[0]
    event = parse_canonical(bytes(entry.entry))["event"]  # type: ignore[index,call-overload]
    assert event["kind"] == "bundle.issued"  # type: ignore[index,call-overload]
    assert event["refs"][0]["digest"] == bundle.scope_digest  # type: ignore[index,call-overload]
    scope = parse_canonical(storage.read_bytes(bundle.scope_digest))
    assert scope["size"] == entry.position  # type: ignore[index,call-overload]


def test_500_items_are_built_within_a_second(world: World, tmp_path: Path) -> None:
    restore_keys_note()
    version = world.version()
    for number in range(250):
        world.evidence(version, f"kind_{number}", [])
    bundle = issued(world, version)
    started = time.perf_counter()
    target = bundles.build(bundle, tmp_path / "bundle.zip")
    took = time.perf_counter() - started
    with zipfile.ZipFile(target) as archive:
        assert len(archive.namelist()) > 500
    assert took < 1.5, took


def test_what_another_team_wrote_about_its_data_stays_closed(world: World, tmp_path: Path) -> None:
    own, elsewhere = world.cast.team, access.create_team(actor=world.cast.root, slug="elsewhere")
    dana = world.person("dana", Role.ENGINEER)
    access.grant_membership(actor=world.cast.root, person=dana, role=Role.ENGINEER, team=elsewhere)
    caller = Caller(actor_id=dana.pk, via="cli")
    foreign = world.dataset_version(
        origin="A secret supplier.", dataset=world.dataset(actor=caller, team=elsewhere), actor=caller
    )
    near = world.dataset_version(origin="Our own shelf.")
    edges = [EdgeSpec("data", dataset_version=row) for row in (foreign, near)]
    version = world.version(world.model(actor=caller, team=own), edges=edges, actor=caller)
    target = bundles.build(issued(world, version), tmp_path / "bundle.zip")
    with zipfile.ZipFile(target) as archive:
        texts = {text["value"] for text in json.loads(archive.read("texts.json"))["texts"]}
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert "Our own shelf." in texts
    assert "A secret supplier." not in texts
    assert b"A secret supplier." not in everything
    code, verdict = verifier(target, *outside(tmp_path, checkpoints.outside_notes()[-1]))
    assert (code, results(verdict)) == (0, ["yes"] * 4)
