"""The archive that leaves the building: what goes in, its log, its keys, and how it is packed."""

from audit.bundles.build import build, write
from audit.bundles.state import GONE, PENDING, READY, readiness

__all__ = ["GONE", "PENDING", "READY", "build", "readiness", "write"]
