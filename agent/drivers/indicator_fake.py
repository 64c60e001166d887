"""Lamps and a motor that a test looks at."""

from __future__ import annotations

from agent.core.indication_table import AMBER, MOTOR, NOTHING, Lit
from agent.ports.indicator import Indicator


class FakeIndicator(Indicator):
    """`lit` is what is on now, `shown` all that ever was. While `error` is set it fails with it."""

    def __init__(self, has: Lit = AMBER | MOTOR) -> None:
        super().__init__()
        self._outputs = has
        self.error: Exception | None = None
        self.lit: Lit = NOTHING
        self.shown: list[Lit] = []

    def _open(self) -> Lit:
        self._fail()
        self.lit = NOTHING
        return self._outputs

    def _show(self, lit: Lit) -> None:
        self._fail()
        self.lit = lit
        self.shown.append(lit)

    def _close(self) -> None:
        pass

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error
