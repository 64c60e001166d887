"""Errors are one line for the person who meets them."""

from agent.errors import AgentError, ConfigError


def test_the_line_names_the_thing_and_the_remedy_without_line_breaks() -> None:
    assert str(AgentError("card\nfull", remedy="free\n  some room")) == "card full: free some room"


def test_an_error_without_a_remedy_is_just_what_happened() -> None:
    assert str(AgentError("card full")) == "card full"


def test_a_config_error_without_a_key_names_the_file_alone() -> None:
    assert str(ConfigError("a.toml", "", "missing")) == "a.toml: missing"
