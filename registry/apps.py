"""Wiring of the application `registry`: record types, guards, what rooms know of and do for rooms below them."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import pre_migrate


class RegistryConfig(AppConfig):
    name = "registry"
    label = "registry"
    verbose_name = "Pressmark"

    def ready(self) -> None:
        from registry import events, guards, images
        from registry.access import guards as access_guards
        from registry.access import records as access
        from registry.catalog import records as catalog
        from registry.catalog import registering_hooks, terms_hooks
        from registry.compression import records as compression
        from registry.compression import replay_hooks, standing
        from registry.monitoring import records as monitoring
        from registry.monitoring import services as monitoring_services
        from registry.notices import outbox
        from registry.notices import records as notices
        from registry.oversight import closing_hooks, services_replays
        from registry.oversight import guards as oversight_guards
        from registry.oversight import records as oversight
        from registry.provenance import purged, ruling_hooks, stated_hooks
        from registry.provenance import records as provenance
        from registry.release import guards as release_guards
        from registry.release import hooks as release_hooks
        from registry.release import lapsing, move_guards, purging, second_person_guards
        from registry.release import queries as release_queries
        from registry.release import records as release
        from registry.release.services import emergencies, recalls, terms_findings

        for room in (access, provenance, catalog, compression, oversight, release, monitoring, notices):
            images.register_records(room.RECORDS)
        for rules in (access_guards, oversight_guards, release_guards, move_guards, second_person_guards):
            for condition in rules.CONDITIONS:
                guards.refuse_when(condition)
        purged.known_by(purging.reason_of)
        standing.known_by(release_queries.served, release_queries.first_approved, release_queries.aliases_with_approval)
        ruling_hooks.when_terms_changed(terms_hooks.follow_ruling)
        stated_hooks.when_data_corrected(terms_hooks.follow_data_correction)
        replay_hooks.when_replay_differs(services_replays.open_replay_finding)
        terms_hooks.when_terms_changed(terms_findings.open_terms_findings)
        registering_hooks.when_stated(recalls.follow_recalls)
        closing_hooks.before_closing(emergencies.FINDING, emergencies.require_review)
        closing_hooks.before_closing(lapsing.TERMS_CHANGED, terms_findings.refuse_changer)
        release_hooks.when_granted(monitoring_services.freeze_on_grant)
        if outbox.write not in events.before_appending:
            events.before_appending.append(outbox.write)
        pre_migrate.connect(_drop_guards, sender=self)


def _drop_guards(using: str, **kwargs: Any) -> None:
    from registry import guards

    guards.drop(using)
