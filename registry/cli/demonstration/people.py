"""The cast of the demo: who they are, and their clients once the server runs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from registry.cli.demonstration.stage import Stage
from registry.client import Client

TEAM = "search"
CAST = {
    "ada": ("Ada, engineer", "engineer"),
    "omar": ("Omar, approver", "approver"),
    "carla": ("Carla, compliance officer", "compliance_officer"),
    "otto": ("Otto, operator", "operator"),
}
ADMINISTRATOR = "admin"


@dataclass
class People:
    """Names, passwords made for this run, and clients."""

    passwords: dict[str, str] = field(default_factory=lambda: {name: _password() for name in (ADMINISTRATOR, *CAST)})
    clients: dict[str, Client] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Client:
        return self.clients[name]

    def arrive(self, stage: Stage) -> None:
        """The administrator makes the team and the cast; everybody logs in over the API."""
        root = self._log_in(stage, ADMINISTRATOR)
        root.post("teams", {"slug": TEAM, "title": "Search team"})
        for name, (shown, role) in CAST.items():
            root.post("actors", {"username": name, "display_name": shown, "password": self.passwords[name]})
            team = None if role == "compliance_officer" else TEAM  # she answers for the policies of the whole instance
            root.post("memberships", {"username": name, "role": role, "team": team})
            self._log_in(stage, name)

    def _log_in(self, stage: Stage, name: str) -> Client:
        client = Client(stage.server)
        client.log_in(name, self.passwords[name])
        self.clients[name] = client
        return client


def _password() -> str:
    return "-".join(secrets.token_hex(2) for _ in range(4))
