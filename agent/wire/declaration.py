"""What a person declares about an exercise, on a scenario card or in a session plan.

Who took part is named by pseudonyms alone: who is behind one stands in the register of those who
made the card (`sightline card make`), never on a card, a topic or a camera.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from agent.wire.label_sheet import DeclaredLabel

MAX_CONSENTS = 8
WORD_PATTERN = r"^([a-z0-9][a-z0-9_-]{0,31})?$"
PSEUDONYM_PATTERN = r"^p-[a-z2-7]{8}$"

Word = Annotated[str, msgspec.Meta(pattern=WORD_PATTERN)]
Pseudonym = Annotated[str, msgspec.Meta(pattern=PSEUDONYM_PATTERN)]
OnePseudonym = Annotated[str, msgspec.Meta(pattern=rf"^(|{PSEUDONYM_PATTERN[1:-1]})$")]


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """Words of small letters, digits, `_` and `-`; "" where nothing is said. `trainer` and
    `consents` are pseudonyms."""

    scenario: Word = ""
    environment: Word = ""
    site: Word = ""
    trainer: OnePseudonym = ""
    consents: Annotated[tuple[Pseudonym, ...], msgspec.Meta(max_length=MAX_CONSENTS)] = ()

    @property
    def says_nothing(self) -> bool:
        return self == Declaration()

    def labels(self, source: str) -> tuple[DeclaredLabel, ...]:
        """One declared label for each thing said; `consent` once for each."""
        said = [
            ("scenario", self.scenario),
            ("environment", self.environment),
            ("site", self.site),
            ("trainer", self.trainer),
            *(("consent", each) for each in self.consents),
        ]
        return tuple(
            DeclaredLabel(key=key, value=value, source=source) for key, value in said if value
        )
