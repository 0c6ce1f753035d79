"""One evaluation for people: what a version lost, for whom, and what it saves, from the evidence of one run."""

from registry.desk.evaluations.body import evaluation_body
from registry.desk.evaluations.record import evaluation_runs
from registry.desk.evaluations.said import Said
from registry.desk.evaluations.view import Evaluation, evaluation_of, said_first

__all__ = ["Evaluation", "Said", "evaluation_body", "evaluation_of", "evaluation_runs", "said_first"]
