"""JSON door of admission: a question in, a signed verdict out. Nothing is written, so no receipt and no idempotency key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from audit.admissions import Question, answer_admission
from registry.access.http import caller_of
from registry.access.parsing import BoundedJSONParser
from registry.errors import Invalid
from registry.release.admission import Asked
from registry.release.admission_facts import File

_DIGEST = r"^sha256:[0-9a-f]{64}$"
_SLUG = r"[a-z0-9][a-z0-9._-]{0,62}"
FILES_LIMIT = 10_000


class AdmissionThrottle(UserRateThrottle):
    """What deploys asks now and then; what asks more often than this looks for something else."""

    scope = "admission"
    rate = "120/min"


class DeployedFileInput(serializers.Serializer[Any]):
    digest = serializers.RegexField(_DIGEST)
    path = serializers.CharField(
        max_length=400, required=False, allow_null=True, default=None, trim_whitespace=False,
        help_text="Where it lies in the folder; left out for a file that stands alone.",
    )  # fmt: skip


class AskAdmissionInput(serializers.Serializer[Any]):
    digest = serializers.RegexField(_DIGEST, required=False, allow_null=True, default=None)
    files = serializers.ListField(child=DeployedFileInput(), required=False, default=list, max_length=FILES_LIMIT)
    model = serializers.RegexField(f"^{_SLUG}/{_SLUG}$", required=False, allow_null=True, default=None)
    alias = serializers.RegexField(f"^{_SLUG}$", required=False, allow_null=True, default=None)
    target = serializers.RegexField(f"^{_SLUG}(@[0-9]{{1,8}})?$", required=False, allow_null=True, default=None)
    served = serializers.BooleanField(required=False, default=False)
    nonce = serializers.RegexField(r"^[0-9a-f]{16,64}$", required=False, allow_null=True, default=None)


class AskAdmission(APIView):
    """Whether a version may run: a DSSE envelope with a signed, short-lived yes or no and its reasons. Default no.

    Give the digest of the version, its files, or both; and for what: alias, target, whether the alias has to serve it already.
    """

    parser_classes = [BoundedJSONParser]
    throttle_classes = [AdmissionThrottle]

    @extend_schema(operation_id="ask_admission", request=AskAdmissionInput, responses={200: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        read = AskAdmissionInput(data=request.data)
        read.is_valid(raise_exception=True)
        envelope = answer_admission(caller_of(request, "api"), _question(read.validated_data))
        return Response(json.loads(envelope))


def _question(data: Mapping[str, Any]) -> Question:
    files = [File(row["digest"], row["path"]) for row in data["files"]]
    if data["digest"] is None and not files:
        raise Invalid("Nothing is asked about.", hint="Give 'digest', 'files' or both.")
    alone = len(files) == 1
    if any(not file.path for file in files) and not (alone and files[0].path is None):
        raise Invalid("A file without a path stands alone.", hint="Give each file of a folder its path.")
    if len({file.path for file in files}) != len(files):
        raise Invalid("A path stands twice among the files.", hint="Name each file once.")
    asked = Asked(data["alias"], data["target"], data["served"])
    return Question(data["digest"], files, data["model"], asked, data["nonce"])
