"""Every verb of `pressmark`, once, in the group of whoever needs it most: what `pressmark --help` prints.

A verb that talks to a server is its name and what it is for; its module is `remote_` and the name. Who may do an act is for the
server to say: a group keeps nobody out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """One verb: what it is for, and the module whose `add_arguments` and `run` carry it out."""

    name: str
    module: str
    about: str
    needs_django: bool = True
    needs_installation: bool = False


def _remote(name: str, about: str) -> Verb:
    return Verb(name, f"registry.cli.remote_{name.replace('-', '_')}", about, needs_django=False)


def _here(name: str, about: str, *, django: bool = False, installation: bool = False) -> Verb:
    return Verb(name, f"registry.cli.{name.replace('-', '_')}", about, django or installation, installation)


GROUPS: dict[str, list[Verb]] = {
    "Everybody": [
        _remote("login", "remember server and token for the verbs that talk to a server"),
        _remote("show", "show a version: TEAM/MODEL@NUMBER or @ALIAS"),
        _remote("diff-versions", "two versions side by side, what differs first"),
        _remote("as-of", "show a model or team as the ledger says it was"),
        _remote("served-at", "what an alias was at a moment"),
        _remote("pull", "download a version, every file checked by digest"),
        _here("receipt", "list, complete and check the receipts that verbs got"),
        _remote("list-notices", "what you were told"),
        _remote("choose-mail", "have notices come by mail as well, or no more"),
        _remote("list-use-cases", "what the models of a team are for"),
        _remote("show-use-case", "one use case, its tier and why"),
        _remote("list-policies", "the policies of this instance, or those that ship"),
        _remote("list-approvals", "what waits for a decision, or for an answer"),
        _remote("list-findings", "what waits to be mended, the first due first"),
        _remote("list-reviews", "who looked at it, and which reviews count"),
        _remote("list-holds", "what is kept, and why"),
        _remote(
            "list-service-accounts", "which service accounts act here, who answers for them, and when their tokens end"
        ),
        _here("demo", "run the main job on a real model"),
    ],
    "Engineer: register, compress, measure, ask for a release": [
        _remote("register-use-case", "what models are for, with the answers that give its tier"),
        _remote("answer-tier-table", "answer the tier table for a use case, or print its questions"),
        _remote("register-model", "register a model on a server"),
        _remote("register-version", "upload a folder as a version"),
        _remote("correct-version", "say anew what was registered wrongly"),
        _remote("register-dataset-version", "upload a file of rows, or a folder of them, as a state of a dataset"),
        _remote("correct-dataset-version", "say anew what was registered wrongly about data"),
        _remote("profile-dataset", "have the rows of a dataset version looked at"),
        _remote("register-licence", "register an expression, or a text of your own"),
        _remote("attach-document", "keep a file as proof beside a record"),
        _here("recipes", "the recipes that ship: which wish each serves, and what it needs"),
        _remote("compress", "request a run on a server and watch it"),
        _remote("evaluate", "measure a version on a server, beside others"),
        _remote("replay-version", "have a version made again from its parent, and compared"),
        _remote("preview-gate", "what must happen before a version may go live, and who has to do it"),
        _remote("request-approval", "ask that a version may be released"),
        _remote("answer-approval", "answer the question that a request came back with"),
        _remote("withdraw-approval", "take one's own request back"),
        _remote("open-finding", "something to be mended about a model"),
        _remote("accept-finding", "say that a finding will be mended"),
        _remote("fix-finding", "say that a finding is mended"),
        _remote("request-quarantine-release", "ask that a version in quarantine may be used"),
    ],
    "Approver: decide what may be released": [
        _remote("grant-approval", "say yes to a request, with conditions or without"),
        _remote("reject-approval", "say no to a request"),
        _remote("return-approval", "send a request back with a question"),
        _remote("revoke-approval", "take back a yes that was given"),
        _remote("appoint-deputy", "somebody decides in your place for a while"),
        _remote("end-deputyship", "list deputyships, or end one"),
        _remote("sign-review", "say what you found in one state of a model or of data"),
        _remote("start-recall", "stop all that was made from something"),
        _remote("end-recall", "let what was recalled be used again"),
        _remote("grant-quarantine-release", "let a version out of a quarantine"),
        _remote("refuse-quarantine-release", "keep a version in quarantine"),
    ],
    "Compliance officer: the rules, what is kept, what is proved": [
        _remote("author-policy", "write a policy; somebody else puts it in force"),
        _remote("dry-run-policy", "what a draft of a policy would change about all that is served"),
        _remote("approve-policy", "put a policy of somebody else in force"),
        _remote("end-policy", "take a policy out of force"),
        _remote("author-tier-table", "write the questionnaire that gives use cases their tier"),
        _remote("approve-tier-table", "put a tier table of somebody else in force"),
        _remote("change-tier", "more care for a use case than its answers ask for"),
        _remote("author-alias-rule", "keep an act on an alias for a role, or print who may do what"),
        _remote("approve-alias-rule", "put a rule of an alias in force"),
        _remote("end-alias-rule", "take a rule of an alias back"),
        _remote("author-ruling", "say what a licence's text grants"),
        _remote("approve-ruling", "put a ruling in force"),
        _remote("end-ruling", "let a ruling count no longer"),
        _remote("assign-finding", "another owner or day for a finding"),
        _remote("reopen-finding", "say that a finding was not mended after all"),
        _remote("close-finding", "say how a finding was mended, or why it need not be"),
        _remote("end-attestation", "take a signed statement back"),
        _remote("bundle", "issue a bundle and fetch it"),
        _remote("place-hold", "keep something from being purged or erased"),
        _remote("end-hold", "let go again what was kept"),
        _remote("request-purge", "ask that bytes go for good"),
        _remote("confirm-purge", "let bytes go that somebody else asked to purge"),
        _remote("erase-texts", "erase what somebody typed"),
        _remote("erase-actor", "erase who somebody was"),
    ],
    "Operator: what aliases serve, and where": [
        _remote("promote", "let an alias serve what was approved for it"),
        _remote("roll-back", "let an alias serve an earlier version again"),
        _remote("suspend", "let an alias serve nothing"),
        _remote("break-glass", "serve a version that nobody approved, in an emergency"),
        _remote("drill-rollback", "go through a roll-back and move nothing"),
        _here("admit", "say by exit status whether what lies here may run"),
        _here("measure", "measure a model on the host that serves it"),
        _remote("register-target", "a place where versions run"),
        _remote("end-target", "nothing runs there any more"),
        _remote("end-monitor", "watch an alias no longer"),
        _remote("register-webhook", "have an address told of events"),
        _remote("list-webhooks", "the webhooks that you watch over: what waits and what failed"),
        _remote("resend-webhook", "try again what was given up for a webhook"),
        _remote("rotate-webhook", "a new secret for a webhook"),
        _remote("end-webhook", "have an address told of nothing any more"),
    ],
    "Administrator: accounts and roles": [
        _remote("end-actor", "end an account with its roles and tokens"),
        _remote("give-responsibility", "somebody else answers for a service account"),
        _remote("end-membership", "take a role away"),
        _remote("end-token", "list tokens, or end one"),
    ],
    "Administrator: the installation, on its own machine": [
        _here("init", "set up an installation: secret, keys, database, ledger, first administrator", django=True),
        _here("serve", "run web server, worker and keeper together"),
        _here("web", "run the web server alone", installation=True),
        _here("worker", "run the Celery worker alone", installation=True),
        _here("keeper", "run the keeper alone", installation=True),
        _here("upgrade", "bring the database to this version, then compare it with the ledger", installation=True),
        _here("check", "say whether this installation is in order", django=True),
        _here("verify-ledger", "recompute the whole ledger and compare it with the tables", django=True),
        _here("keys", "print the key lines, and from which position on each signs", installation=True),
        _here("rotate-keys", "new keys, vouched for by the old ones", installation=True),
        _here("revoke-keys", "new keys because the old ones were lost or stolen; two administrators", django=True),
        _here("reopen-ledger", "go on under a new origin: after an old backup was restored, or as a copy", django=True),
        _here(
            "correct-clock",
            "let entries carry the clock's time again after it was wrong once; two administrators",
            installation=True,
        ),
        _here(
            "confirm-move",
            "say that this installation was moved here, and that the old place is no more",
            installation=True,
        ),
    ],
    "A stranger: check without trusting it": [
        _here("verify", "check a bundle offline, as a stranger would"),
        _remote("prove-consistency", "fetch the proof that the log of one size continues that of another"),
        _here("witness", "cosign a ledger's checkpoints from another host"),
    ],
}

VERBS = [verb for group in GROUPS.values() for verb in group]
