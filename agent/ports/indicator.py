"""The indicator seam: what a wearer sees and feels, up to two lamps and a motor."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod

from agent.core.indication_table import Lit
from agent.errors import AgentError, IndicatorError


class Indicator(ABC):
    """Lamps and a vibration motor that are on or off.

    - `open()` takes the outputs, all off, and says which there are (at least one). Raises
      IndicatorError with the remedy.
    - `show(lit)` turns on what `lit` names and everything else off; what the device does not have
      is left out. It returns when the hardware has been told, within a few ms.
    - An output that refuses raises IndicatorError from `show`; `open` may be tried again.
    - `close()` turns everything off and lets it go. Idempotent, never raises.
    - All from one thread.

    The public methods check and wrap; a driver implements the hooks `_open`, `_show`, `_close`.
    """

    def __init__(self) -> None:
        self._has: Lit | None = None
        self._lit: Lit = frozenset()

    def open(self) -> Lit:
        self.close()
        try:
            has = self._open()
        except AgentError:
            self._drop()
            raise
        except Exception as exc:
            self._drop()
            raise IndicatorError(f"indicator cannot be opened ({exc})") from exc
        self._has, self._lit = has, frozenset()
        return has

    def show(self, lit: Lit) -> None:
        if self._has is None:
            raise IndicatorError("indicator is not open")
        lit &= self._has
        if lit == self._lit:
            return
        try:
            self._show(lit)
        except Exception as exc:
            self._has = None
            self._drop()
            raise IndicatorError(
                f"indicator refuses ({' '.join(str(exc).split())})",
                remedy="it is opened again when it is back",
            ) from exc
        self._lit = lit

    def close(self) -> None:
        if self._has is None:
            return
        try:
            self._show(frozenset())
        except Exception:  # it has gone: nothing is lit any more
            self._lit = frozenset()
        self._has = None
        self._drop()

    def _drop(self) -> None:
        with contextlib.suppress(Exception):
            self._close()

    @abstractmethod
    def _open(self) -> Lit: ...

    @abstractmethod
    def _show(self, lit: Lit) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...
