"""All tables of the application `registry`; each is defined in its room."""

from registry.access.models import Actor, Deputyship, IdempotencyKey, Membership, Responsibility, Team, Text, Token
from registry.catalog.models import Artifact, Correction, Edge, Evidence, ModelVersion, RegisteredModel
from registry.compression.models import Recipe, Run
from registry.monitoring.models import Baseline, Incident, Monitor, Window
from registry.notices.models import Outgoing, Webhook
from registry.oversight.models import Attestation, Finding, Hold, Review, TierTable, UseCase
from registry.provenance.models import (
    DataProfile,
    Dataset,
    DatasetCorrection,
    DatasetFile,
    DatasetVersion,
    Document,
    Licence,
    LicenceRuling,
    Upload,
)
from registry.release.models import Alias, AliasAssignment, Approval, Decision, Policy, Verdict, Waiver
from registry.release.serving_models import AliasRule, BrokenGlass, Drill, Target
from registry.release.stopping_models import Purge, Quarantine, QuarantineAct, Recall

__all__ = [
    "Actor",
    "Alias",
    "AliasAssignment",
    "AliasRule",
    "Approval",
    "Artifact",
    "Attestation",
    "Baseline",
    "BrokenGlass",
    "Correction",
    "DataProfile",
    "Dataset",
    "DatasetCorrection",
    "DatasetFile",
    "DatasetVersion",
    "Decision",
    "Deputyship",
    "Document",
    "Drill",
    "Edge",
    "Evidence",
    "Finding",
    "Hold",
    "IdempotencyKey",
    "Incident",
    "Licence",
    "LicenceRuling",
    "Membership",
    "ModelVersion",
    "Monitor",
    "Outgoing",
    "Policy",
    "Purge",
    "Quarantine",
    "QuarantineAct",
    "Recall",
    "Recipe",
    "RegisteredModel",
    "Responsibility",
    "Review",
    "Run",
    "Target",
    "Team",
    "Text",
    "TierTable",
    "Token",
    "Upload",
    "UseCase",
    "Verdict",
    "Waiver",
    "Webhook",
    "Window",
]
