from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.wire.declaration import Declaration
from tests.card_maker import DECLARED


def test_everything_said_becomes_a_label_with_its_source_and_nothing_else() -> None:
    said = [(each.key, each.value, each.source) for each in DECLARED.labels("card")]
    assert said == [
        ("scenario", "hostage", "card"),
        ("environment", "train", "card"),
        ("site", "site-12", "card"),
        ("trainer", "p-abcd2345", "card"),
        ("consent", "p-zzzz7777", "card"),
    ]
    assert Declaration(site="x").labels("plan")[0].key == "site"
    assert len(Declaration(site="x").labels("plan")) == 1
    assert Declaration().says_nothing
    assert not DECLARED.says_nothing


@pytest.mark.parametrize(
    "words",
    [
        {"scenario": "Two Words"},
        {"scenario": "x" * 33},
        {"site": "-x"},
        {"site": "a/b"},
        {"trainer": "jane"},
        {"trainer": "p-short"},
        {"consents": ["Jane Smith"]},
        {"consents": ["p-abcd2345"] * 9},
        {"consents": [""]},
    ],
)
def test_names_of_people_and_words_that_no_card_carries_are_refused(
    words: dict[str, Any],
) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(words, Declaration)
