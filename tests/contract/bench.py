"""What the benches of drivers share: each is a context that puts things back."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class WorkBench:
    """`tidy` puts back what the bench changed outside the test's folder."""

    def tidy(self) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.tidy()
