"""Settings from the environment: what is wrong is named, and a slip never leaves a default in force unseen."""

from __future__ import annotations

import dataclasses

import pytest

from registry import configuration
from registry.configuration import Configuration, ConfigurationError


def test_a_misspelt_setting_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean PRESSMARK_DATABASE_URL"):
        Configuration.read({"PRESSMARK_DATABSE_URL": "postgresql://a@b/c"})


def test_names_of_others_are_left_alone() -> None:
    others = {"PRESSMARK_TOKEN": "t", "PRESSMARK_TEST_DATABASE_URL": "x", "PRESSMARK_PORT_8000_TCP": "tcp://10.0.0.1"}
    assert Configuration.read(others).workers == 1


@pytest.mark.parametrize("name", ["PRESSMARK_SERVER", "PRESSMARK_TOKEN"])
def test_what_the_verbs_against_a_server_read_is_no_slip_of_a_setting(name: str) -> None:
    """First steps exports the address of the server beside the home; it resembles PRESSMARK_SECURE."""
    assert Configuration.read({name: "http://127.0.0.1:8000"}).workers == 1


def test_a_broker_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PRESSMARK_BROKER_URL takes"):
        Configuration.read({"PRESSMARK_BROKER_URL": "amqp://queue"})


def test_every_field_has_a_setting_of_its_name() -> None:
    fields = {f"PRESSMARK_{field.name.upper()}" for field in dataclasses.fields(Configuration)}
    assert fields == set(configuration._NAMES)
