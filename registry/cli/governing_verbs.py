"""The verbs by which rules come into force, people look at things and findings are mended; all of them talk to a server."""

from __future__ import annotations

GOVERNING = [
    ("register-use-case", "what models are for, with the answers that give its tier"),
    ("list-use-cases", "what the models of a team are for"),
    ("show-use-case", "one use case, its tier and why"),
    ("change-tier", "more care for a use case than its answers ask for"),
    ("list-policies", "the policies of this instance, or those that ship"),
    ("register-dataset-version", "upload a file of rows, or a folder of them, as a state of a dataset"),
    ("correct-dataset-version", "say anew what was registered wrongly about data"),
    ("author-policy", "write a policy; somebody else puts it in force"),
    ("dry-run-policy", "what a draft of a policy would change about all that is served"),
    ("approve-policy", "put a policy of somebody else in force"),
    ("end-policy", "take a policy out of force"),
    ("author-tier-table", "write the questionnaire that gives use cases their tier"),
    ("approve-tier-table", "put a tier table of somebody else in force"),
    ("answer-tier-table", "answer it for a use case, or print its questions"),
    ("author-alias-rule", "keep an act on an alias for a role, or print who may do what"),
    ("approve-alias-rule", "put a rule of an alias in force"),
    ("end-alias-rule", "take a rule of an alias back"),
    ("list-service-accounts", "which service accounts act here, who answers for them, and when their tokens end"),
    ("sign-review", "say what you found in one state of a model or of data"),
    ("list-reviews", "who looked at it, and which reviews count"),
    ("place-hold", "keep something from being purged or erased"),
    ("end-hold", "let it go again"),
    ("list-holds", "what is kept, and why"),
    ("open-finding", "something to be mended about a model"),
    ("list-findings", "what waits to be mended, the first due first"),
    ("accept-finding", "say that a finding will be mended"),
    ("fix-finding", "say that a finding is mended"),
    ("reopen-finding", "say that a finding was not mended after all"),
    ("assign-finding", "another owner or day for a finding"),
    ("close-finding", "say how a finding was mended, or why it need not be"),
]
"""Name and what it is for; the module is that of the name."""
