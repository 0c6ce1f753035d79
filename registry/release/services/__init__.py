"""The writes of this room, by what they are about."""

from registry.release.services.aliases import (
    CheckedBytes,
    Target,
    check_bytes,
    check_rollback,
    promote,
    require_promote,
    roll_back,
    suspend,
)
from registry.release.services.approvals import (
    answer_approval,
    grant_approval,
    reject_approval,
    request_approval,
    return_approval,
    revoke_approval,
    withdraw_approval,
)
from registry.release.services.gate import end_waiver, evaluate_gate, sign_waiver
from registry.release.services.policies import approve_policy, author_policy, end_policy
from registry.release.services.purges import confirm_purge, request_purge, withdraw_purge
from registry.release.services.targets import end_target, register_target

__all__ = [
    "CheckedBytes",
    "Target",
    "answer_approval",
    "approve_policy",
    "author_policy",
    "check_bytes",
    "check_rollback",
    "confirm_purge",
    "end_policy",
    "end_target",
    "end_waiver",
    "evaluate_gate",
    "grant_approval",
    "promote",
    "register_target",
    "reject_approval",
    "request_approval",
    "request_purge",
    "require_promote",
    "return_approval",
    "revoke_approval",
    "roll_back",
    "sign_waiver",
    "suspend",
    "withdraw_approval",
    "withdraw_purge",
]
