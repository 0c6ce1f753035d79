"""The writes of this room, by what they are about."""

from registry.release.services.aliases import promote, require_promote, suspend
from registry.release.services.approvals import (
    answer_approval,
    grant_approval,
    reject_approval,
    request_approval,
    return_approval,
    revoke_approval,
    withdraw_approval,
)
from registry.release.services.drills import Drilled, drill_rollback, try_rollback
from registry.release.services.emergencies import break_glass, require_break_glass
from registry.release.services.gate import end_waiver, evaluate_gate, sign_waiver
from registry.release.services.moves import CheckedBytes, check_bytes
from registry.release.services.policies import approve_policy, author_policy, end_policy
from registry.release.services.purges import confirm_purge, request_purge, withdraw_purge
from registry.release.services.quarantine_releases import (
    grant_quarantine_release,
    refuse_quarantine_release,
    request_quarantine_release,
)
from registry.release.services.recalls import end_recall, require_start, start_recall
from registry.release.services.rollbacks import Target, check_rollback, roll_back
from registry.release.services.targets import end_target, register_target

__all__ = [
    "CheckedBytes",
    "Drilled",
    "Target",
    "answer_approval",
    "approve_policy",
    "author_policy",
    "break_glass",
    "check_bytes",
    "check_rollback",
    "confirm_purge",
    "drill_rollback",
    "end_policy",
    "end_recall",
    "end_target",
    "end_waiver",
    "evaluate_gate",
    "grant_approval",
    "grant_quarantine_release",
    "promote",
    "refuse_quarantine_release",
    "register_target",
    "reject_approval",
    "request_approval",
    "request_purge",
    "request_quarantine_release",
    "require_break_glass",
    "require_promote",
    "require_start",
    "return_approval",
    "revoke_approval",
    "roll_back",
    "sign_waiver",
    "start_recall",
    "suspend",
    "try_rollback",
    "withdraw_approval",
    "withdraw_purge",
]
