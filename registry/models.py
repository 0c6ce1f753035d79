"""All tables of the application `registry`; each is defined in its room."""

from registry.access.models import Actor, IdempotencyKey, Membership, Team, Text, Token
from registry.catalog.models import Artifact, Edge, Evidence, ModelVersion, RegisteredModel
from registry.compression.models import Recipe, Run
from registry.monitoring.models import Baseline, Incident, Monitor, Window
from registry.oversight.models import Attestation, Finding, UseCase
from registry.provenance.models import Dataset, DatasetVersion, Document, Licence, Upload
from registry.release.models import Alias, AliasAssignment, Approval, Decision, Policy, Verdict, Waiver

__all__ = [
    "Actor",
    "Alias",
    "AliasAssignment",
    "Approval",
    "Artifact",
    "Attestation",
    "Baseline",
    "Dataset",
    "DatasetVersion",
    "Decision",
    "Document",
    "Edge",
    "Evidence",
    "Finding",
    "IdempotencyKey",
    "Incident",
    "Licence",
    "Membership",
    "ModelVersion",
    "Monitor",
    "Policy",
    "Recipe",
    "RegisteredModel",
    "Run",
    "Team",
    "Text",
    "Token",
    "Upload",
    "UseCase",
    "Verdict",
    "Waiver",
    "Window",
]
