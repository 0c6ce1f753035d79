"""`kill -9` of the keeper between the mail server's taking a mail and the row that says so: it leaves again under the same id."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.notices.servers import mail_server
from tests.services.installation import Installation

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_mail_whose_keeper_was_killed_leaves_again_under_the_same_id(tmp_path: Path) -> None:
    with mail_server() as box, Installation(tmp_path / "home") as home:
        home.environment |= {
            "PRESSMARK_MAIL_HOST": "127.0.0.1", "PRESSMARK_MAIL_PORT": str(box.port), "PRESSMARK_MAIL_SECURITY": "none",
            "PRESSMARK_MAIL_FROM": "registry@pressmark.example",
        }  # fmt: skip
        assert json.loads(home.call("-m", "tests.notices.asked_home").splitlines()[-1]) == {"waiting": 2}
        box.holds_after_data = True
        keeper = home.keeper()
        home.wait_for(lambda: box.mails, seconds=60)  # taken, and not yet answered
        home.kill(keeper)
        assert home.rows("SELECT COUNT(*) FROM notices_outgoing WHERE sent_at IS NOT NULL") == [(0,)]
        assert home.rows("SELECT COUNT(*) FROM notices_outgoing WHERE lease_until IS NOT NULL") == [(2,)]
        taken = box.ids[0]
        box.holds_after_data = False
        box.release.set()
        home.change("UPDATE notices_outgoing SET lease_until = '2026-01-01 00:00:00' WHERE lease_until IS NOT NULL")
        home.keeper()
        sent = "SELECT COUNT(*) FROM notices_outgoing WHERE sent_at IS NOT NULL AND lease_until IS NULL"
        home.wait_for(lambda: home.rows(sent) == [(2,)], seconds=60)
        assert sorted(Counter(box.ids).values()) == [1, 2]
        assert Counter(box.ids)[taken] == 2
