"""`pressmark`: one command, its verbs in one table. What needs no Django starts without it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

from registry.cli.governing_verbs import GOVERNING
from registry.cli.refusals import explain
from registry.cli.telling_verbs import TELLING
from registry.errors import Conflict


@dataclass(frozen=True)
class Verb:
    """One verb: what it is for, and the module whose `add_arguments` and `run` carry it out."""

    name: str
    module: str
    about: str
    needs_django: bool = True
    needs_installation: bool = False


VERBS = [
    Verb("init", "registry.cli.init", "set up an installation: secret, keys, database, ledger, first administrator"),
    Verb("serve", "registry.cli.serve", "run web server, worker and keeper together", needs_django=False),
    Verb("web", "registry.cli.web", "run the web server alone", needs_installation=True),
    Verb("worker", "registry.cli.worker", "run the Celery worker alone", needs_installation=True),
    Verb("keeper", "registry.cli.keeper", "run the keeper alone", needs_installation=True),
    Verb(
        "upgrade",
        "registry.cli.upgrade",
        "bring the database to this version, then compare it with the ledger",
        needs_installation=True,
    ),
    Verb("check", "registry.cli.check", "say whether this installation is in order"),
    Verb("verify-ledger", "registry.cli.verify_ledger", "recompute the whole ledger and compare it with the tables"),
    Verb(
        "keys",
        "registry.cli.keys",
        "print the key lines, and from which position on each signs",
        needs_installation=True,
    ),
    Verb("rotate-keys", "registry.cli.rotate_keys", "new keys, vouched for by the old ones", needs_installation=True),
    Verb(
        "revoke-keys",
        "registry.cli.revoke_keys",
        "new keys because the old ones were lost or stolen; two administrators",
    ),
    Verb(
        "reopen-ledger",
        "registry.cli.reopen_ledger",
        "go on under a new origin: after an old backup was restored, or as a copy",
    ),
    Verb(
        "correct-clock",
        "registry.cli.correct_clock",
        "let entries carry the clock's time again after it was wrong once; two administrators",
        needs_installation=True,
    ),
    Verb(
        "confirm-move",
        "registry.cli.confirm_move",
        "say that this installation was moved here, and that the old place is no more",
        needs_installation=True,
    ),
    Verb("verify", "registry.cli.verify", "check a bundle offline, as a stranger would", needs_django=False),
    Verb("witness", "registry.cli.witness", "cosign a ledger's checkpoints from another host", needs_django=False),
    Verb("demo", "registry.cli.demo", "run the main job on a real model", needs_django=False),
    Verb("login", "registry.cli.remote_login", "remember server and token for the verbs below", needs_django=False),
    Verb("register-model", "registry.cli.remote_register_model", "register a model on a server", needs_django=False),
    Verb(
        "register-version", "registry.cli.remote_register_version", "upload a folder as a version", needs_django=False
    ),
    Verb(
        "register-licence",
        "registry.cli.remote_register_licence",
        "register an expression, or a text of your own",
        needs_django=False,
    ),
    Verb("author-ruling", "registry.cli.remote_author_ruling", "say what a licence's text grants", needs_django=False),
    Verb("approve-ruling", "registry.cli.remote_approve_ruling", "put a ruling in force", needs_django=False),
    Verb("end-ruling", "registry.cli.remote_end_ruling", "let a ruling count no longer", needs_django=False),
    Verb(
        "correct-version",
        "registry.cli.remote_correct_version",
        "say anew what was registered wrongly",
        needs_django=False,
    ),
    Verb("compress", "registry.cli.remote_compress", "request a run on a server and watch it", needs_django=False),
    Verb(
        "evaluate", "registry.cli.remote_evaluate", "measure a version on a server, beside others", needs_django=False
    ),
    Verb(
        "profile-dataset",
        "registry.cli.remote_profile_dataset",
        "have the rows of a dataset version looked at",
        needs_django=False,
    ),
    Verb(
        "replay-version",
        "registry.cli.remote_replay_version",
        "have a version made again from its parent, and compared",
        needs_django=False,
    ),
    Verb("bundle", "registry.cli.remote_bundle", "issue a bundle and fetch it", needs_django=False),
    Verb(
        "prove-consistency",
        "registry.cli.remote_prove_consistency",
        "fetch the proof that the log of one size continues that of another",
        needs_django=False,
    ),
    Verb("show", "registry.cli.remote_show", "show a version: TEAM/MODEL@NUMBER or @ALIAS", needs_django=False),
    Verb(
        "diff-versions",
        "registry.cli.remote_diff_versions",
        "two versions side by side, what differs first",
        needs_django=False,
    ),
    Verb("as-of", "registry.cli.remote_as_of", "show a model or team as the ledger says it was", needs_django=False),
    Verb("pull", "registry.cli.remote_pull", "download a version, every file checked by digest", needs_django=False),
    Verb("admit", "registry.cli.admit", "say by exit status whether what lies here may run", needs_django=False),
    Verb("measure", "registry.cli.measure", "measure a model on the host that serves it", needs_django=False),
    Verb("receipt", "registry.cli.receipt", "list, complete and check the receipts that verbs got", needs_django=False),
    Verb(
        "attach-document",
        "registry.cli.remote_attach_document",
        "keep a file as proof beside a record",
        needs_django=False,
    ),
    Verb(
        "preview-gate",
        "registry.cli.remote_preview_gate",
        "what must happen before a version may go live, and who has to do it",
        needs_django=False,
    ),
    Verb(
        "request-approval",
        "registry.cli.remote_request_approval",
        "ask that a version may be released",
        needs_django=False,
    ),
    Verb(
        "list-approvals",
        "registry.cli.remote_list_approvals",
        "what waits for a decision, or for an answer",
        needs_django=False,
    ),
    Verb(
        "grant-approval",
        "registry.cli.remote_grant_approval",
        "say yes, with conditions or without",
        needs_django=False,
    ),
    Verb(
        "reject-approval",
        "registry.cli.remote_reject_approval",
        "say no",
        needs_django=False,
    ),
    Verb(
        "return-approval",
        "registry.cli.remote_return_approval",
        "send a request back with a question",
        needs_django=False,
    ),
    Verb(
        "answer-approval",
        "registry.cli.remote_answer_approval",
        "answer the question",
        needs_django=False,
    ),
    Verb(
        "revoke-approval",
        "registry.cli.remote_revoke_approval",
        "take a yes back",
        needs_django=False,
    ),
    Verb(
        "withdraw-approval",
        "registry.cli.remote_withdraw_approval",
        "take one's own request back",
        needs_django=False,
    ),
    Verb(
        "appoint-deputy",
        "registry.cli.remote_appoint_deputy",
        "somebody decides in your place for a while",
        needs_django=False,
    ),
    Verb(
        "end-deputyship",
        "registry.cli.remote_end_deputyship",
        "list deputyships, or end one",
        needs_django=False,
    ),
    Verb(
        "register-target",
        "registry.cli.remote_register_target",
        "a place where versions run",
        needs_django=False,
    ),
    Verb(
        "end-target",
        "registry.cli.remote_end_target",
        "nothing runs there any more",
        needs_django=False,
    ),
    Verb("promote", "registry.cli.remote_promote", "let an alias serve what was approved for it", needs_django=False),
    Verb(
        "roll-back", "registry.cli.remote_roll_back", "let an alias serve an earlier version again", needs_django=False
    ),
    Verb("suspend", "registry.cli.remote_suspend", "let an alias serve nothing", needs_django=False),
    Verb(
        "break-glass",
        "registry.cli.remote_break_glass",
        "serve a version that nobody approved, in an emergency",
        needs_django=False,
    ),
    Verb(
        "drill-rollback",
        "registry.cli.remote_drill_rollback",
        "go through a roll-back and move nothing",
        needs_django=False,
    ),
    Verb("served-at", "registry.cli.remote_served_at", "what an alias was at a moment", needs_django=False),
    Verb(
        "start-recall", "registry.cli.remote_start_recall", "stop all that was made from something", needs_django=False
    ),
    Verb("end-recall", "registry.cli.remote_end_recall", "let what was recalled be used again", needs_django=False),
    Verb(
        "request-quarantine-release",
        "registry.cli.remote_request_quarantine_release",
        "ask that a version in quarantine may be used",
        needs_django=False,
    ),
    Verb(
        "grant-quarantine-release",
        "registry.cli.remote_grant_quarantine_release",
        "let a version out of a quarantine",
        needs_django=False,
    ),
    Verb(
        "refuse-quarantine-release",
        "registry.cli.remote_refuse_quarantine_release",
        "keep a version in quarantine",
        needs_django=False,
    ),
    Verb("request-purge", "registry.cli.remote_request_purge", "ask that bytes go for good", needs_django=False),
    Verb("confirm-purge", "registry.cli.remote_confirm_purge", "let them go, as the second person", needs_django=False),
    Verb("end-actor", "registry.cli.remote_end_actor", "end an account with its roles and tokens", needs_django=False),
    Verb(
        "give-responsibility",
        "registry.cli.remote_give_responsibility",
        "somebody else answers for a service account",
        needs_django=False,
    ),
    Verb("end-membership", "registry.cli.remote_end_membership", "take a role away", needs_django=False),
    Verb("end-token", "registry.cli.remote_end_token", "list tokens, or end one", needs_django=False),
    Verb("end-monitor", "registry.cli.remote_end_monitor", "watch an alias no longer", needs_django=False),
    Verb("end-attestation", "registry.cli.remote_end_attestation", "take a signed statement back", needs_django=False),
    *(
        Verb(name, f"registry.cli.remote_{name.replace('-', '_')}", about, needs_django=False)
        for name, about in (*GOVERNING, *TELLING)
    ),
    Verb("erase-texts", "registry.cli.remote_erase_texts", "erase what somebody typed", needs_django=False),
    Verb("erase-actor", "registry.cli.remote_erase_actor", "erase who somebody was", needs_django=False),
]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pressmark", description="A registry for compressed models that an auditor can trust without trusting us."
    )
    parser.add_argument("--version", action="version", version=f"pressmark {version('pressmark')}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verbs.add_parser(verb.name, help=verb.about, description=verb.about, add_help=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status is the verb's."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = next((v for v in VERBS if words and v.name == words[0]), None)
    if verb is None:
        _parser().parse_args(words)
        return 2
    try:
        return _run(verb, words[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        return _refused(verb, error)


def _run(verb: Verb, words: Sequence[str]) -> int:
    if verb.needs_django:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
        import django  # noqa: PLC0415  keeps the start of the other verbs light
        from django.apps import apps  # noqa: PLC0415

        if not apps.ready:  # a second time it would bind the log to whatever stands for stderr at the moment
            django.setup()
    module = importlib.import_module(verb.module)
    parser = argparse.ArgumentParser(prog=f"pressmark {verb.name}", description=verb.about)
    module.add_arguments(parser)
    # what receipts are kept under: the verb and what it is about, without options, whose values may be anybody's words
    parser.set_defaults(said=" ".join([verb.name, *takewhile(lambda word: not word.startswith("-"), words)]))
    options = parser.parse_args(words)
    if verb.needs_installation:
        _demand_installation()
    act: Callable[[argparse.Namespace], int] = module.run
    return act(options)


def _demand_installation() -> None:
    """An empty home gets a plain word here, not a count of missing guards from an empty database."""
    from django.conf import settings  # noqa: PLC0415  only verbs that have Django started come here

    if not Path(settings.PRESSMARK_KEYS).is_dir():
        raise Conflict(
            f"{settings.PRESSMARK_HOME} is not set up.",
            hint="Run `pressmark init` once, or name the folder of your installation in PRESSMARK_HOME.",
        )


def _refused(verb: Verb, error: Exception) -> int:
    refusal = explain(error)
    if refusal is None:
        raise error
    print(f"pressmark {verb.name}: {refusal.detail}", file=sys.stderr)
    if refusal.hint:
        print(f"  what to do: {refusal.hint}", file=sys.stderr)
    for reason in refusal.reasons:
        print(f"  - {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
