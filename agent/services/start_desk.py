"""What is asked and declared at the start press, and what the tagger saw that bears on it.

Whatever is found here, only a missing plan that was made compulsory keeps a session from starting.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.lens import Lens, LensLook, LensWatch
from agent.core.preflight import Facts, Preflight, judge
from agent.ipc.messages import CodeSeen, LensSeen
from agent.services.declarations import Declarations
from agent.services.recording import Recording
from agent.wire.label_sheet import DeclaredLabel


class StartDesk:
    """`facts(lens)` gives what the pre-flight judges, as it is now."""

    def __init__(
        self,
        declarations: Declarations,
        recording: Recording,
        facts: Callable[[Lens], Facts],
    ) -> None:
        self._declarations, self._recording, self._facts = declarations, recording, facts
        self._lens = LensWatch()
        self._is_unfit = False

    @property
    def looks_often(self) -> bool:
        """A card that is shown now would count."""
        return self._declarations.looks_for_cards(self._recording.machine.state)

    @property
    def lens(self) -> Lens:
        """How the lens looks, as far as it was seen."""
        return self._lens.lens

    @property
    def card_shown(self) -> str:
        return self._declarations.card_line()

    @property
    def plan(self) -> str:
        return self._declarations.plan_line()

    def preflight(self) -> Preflight:
        return judge(self._facts(self._lens.lens))

    def check(self) -> None:
        """Raises ControlError when the settings ask for a session plan and none is in force."""
        self._declarations.check_plan()

    def started(self, pts_ns: int) -> None:
        """A session was started by the press at `pts_ns`."""
        self._declare(self._declarations.at_start(pts_ns))
        self._is_unfit = not self.preflight().is_fit

    def fault(self) -> str:
        """What makes the camera unfit since the session's start, until it is mended or over."""
        if self._is_unfit and self._recording.machine.session is None:
            self._is_unfit = False
        if not self._is_unfit:
            return ""
        now = self.preflight()
        self._is_unfit = not now.is_fit
        return "" if now.is_fit else f"pre-flight: {'; '.join(now.problems)}"

    def camera_lost(self) -> None:
        self._lens.forget()

    def seen(self, seen: CodeSeen | LensSeen) -> None:
        """What the tagger saw in a frame besides what the model scores."""
        if isinstance(seen, LensSeen):
            self._lens.add(LensLook(seen.spread, seen.sharpness))
            return
        recording = self._recording
        self._declare(
            self._declarations.code_seen(
                seen.text, seen.pts_ns, recording.machine.state, recording.session_id
            )
        )

    def _declare(self, labels: tuple[DeclaredLabel, ...]) -> None:
        session = self._recording.machine.session
        if labels and session is not None:
            self._recording.sessions.declare_late(session, labels)
