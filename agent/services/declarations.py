"""What people declared about the next or the present session: scenario cards and the session plan.

A card counts for one session: the one that is started within `before_start_s` of showing it, or in
whose first `after_start_s` it is shown. Of several cards the last one counts. A QR code that is no
card of ours changes nothing and is said once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from agent.config import Settings
from agent.core.session import State
from agent.crypto.cards import PREFIX, read_card
from agent.crypto.trust import Trust
from agent.errors import CardError, ControlError
from agent.ports.clock import Clock
from agent.services.session_book import Tell
from agent.wire.declaration import Declaration
from agent.wire.label_sheet import DeclaredLabel

CardAnswer: TypeAlias = Literal["card", "refused"]

CARD, PLAN = "card", "plan"
# A card is in many frames while it is held up: it is answered once.
_SAME_CARD_NS = 5_000_000_000


class Keys(Protocol):
    """Whose word counts now."""

    @property
    def trust(self) -> Trust: ...


class Plans(Protocol):
    """The session plan as it stands."""

    def current(self) -> Declaration | None: ...

    def why_none(self) -> str: ...


class Declarations:
    """Without `keys` no card counts, without `plans` there is none. `tell` hears what a fleet admin
    should: never what is declared. `answer` hears what became of a card that was shown, for the
    wearer's indicator."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        keys: Keys | None,
        plans: Plans | None,
        tell: Tell,
        answer: Callable[[CardAnswer], None],
    ) -> None:
        self._clock, self._keys, self._plans = clock, keys, plans
        self._tell, self._answer = tell, answer
        self._require_plan = settings.recorder.require_plan
        self._before_ns = round(settings.cards.before_start_s * 1e9)
        self._after_ns = round(settings.cards.after_start_s * 1e9)
        self._waiting: tuple[Declaration, int] | None = None
        self._last: tuple[str, int] | None = None
        self._pressed_pts_ns: int | None = None
        self._said, self._said_ns = "", 0

    def check_plan(self) -> None:
        """Raises ControlError when sessions need a plan and none is in force."""
        if self._require_plan and self._plan() is None:
            raise ControlError(
                f"not recording: no session plan is in force ({self._why_no_plan()})",
                remedy="have one sent (`sightline-collector order plan`), or set"
                " recorder.require_plan = false",
            )

    def at_start(self, pts_ns: int) -> tuple[DeclaredLabel, ...]:
        """What is declared of the session that was started at `pts_ns`."""
        card, self._waiting = self._fresh(pts_ns), None
        self._pressed_pts_ns = pts_ns
        plan = self._plan()
        return (
            *(() if plan is None else plan.labels(PLAN)),
            *(() if card is None else card.labels(CARD)),
        )

    def looks_for_cards(self, state: State) -> bool:
        """True while a card that is shown would count."""
        return state != "recording" or self._in_first_seconds(self._clock.boot_ns())

    def code_seen(
        self, text: str, pts_ns: int, state: State, session_id: str | None
    ) -> tuple[DeclaredLabel, ...]:
        """A QR code in the frame at `pts_ns`. What it declares of the session that is being
        recorded; nothing when it waits for the next one, or is not believed."""
        if not self.looks_for_cards(state):
            return ()
        is_known = self._last is not None and self._last[0] == text
        repeated = is_known and self._last is not None and pts_ns - self._last[1] < _SAME_CARD_NS
        self._last = (text, pts_ns)
        try:
            keys = {} if self._keys is None else self._keys.trust.card_keys
            declaration = read_card(text, keys)
        except CardError as exc:
            if not repeated:
                self._say(f"ignored: {exc}")
                self._refuse(text, session_id)
            return ()
        in_session = state == "recording"
        if not in_session:
            self._waiting = (declaration, pts_ns)
        if not repeated or self._said.startswith("ignored"):
            self._say("scenario card read")
            self._tell("card", session_id if in_session else None, None, self._said)
            self._answer("card")
        return declaration.labels(CARD) if in_session else ()

    def _refuse(self, text: str, session_id: str | None) -> None:
        """Of a card the wearer and the admin should know; posters and parcels have codes too."""
        if text.startswith(PREFIX):
            self._tell("card", session_id, None, self._said)
            self._answer("refused")

    def card_line(self) -> str:
        """The last card or other code, for a person; "" when none was shown."""
        if not self._said:
            return ""
        now_ns = self._clock.boot_ns()
        waits = ", holds for the next start" if self._fresh(now_ns) is not None else ""
        return f"{self._said} {(now_ns - self._said_ns) // 1_000_000_000} s ago{waits}"

    def plan_line(self) -> str:
        """Whether a plan is in force, for a person; "" when there is none and none is needed."""
        if self._plan() is not None:
            return "in force"
        return f"none ({self._why_no_plan()})" if self._require_plan else ""

    def _plan(self) -> Declaration | None:
        return None if self._plans is None else self._plans.current()

    def _why_no_plan(self) -> str:
        return "none has come" if self._plans is None else self._plans.why_none()

    def _fresh(self, pts_ns: int) -> Declaration | None:
        if self._waiting is None or pts_ns - self._waiting[1] > self._before_ns:
            return None
        return self._waiting[0]

    def _in_first_seconds(self, now_ns: int) -> bool:
        pressed = self._pressed_pts_ns
        return pressed is not None and now_ns - pressed <= self._after_ns

    def _say(self, text: str) -> None:
        self._said, self._said_ns = " ".join(text.split())[:200], self._clock.boot_ns()
