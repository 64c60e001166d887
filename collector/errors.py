"""Why the collector did not store a clip: leaves of the one error tree."""

from agent.errors import AgentError


class StoreError(AgentError):
    """The disk or the catalogue refused. The camera is asked to come again."""


class GoneError(StoreError):
    """Another collector of the group ended this transfer: stored it, refused it or dropped it."""


class NotYetError(AgentError):
    """Something on this side is missing that a person can mend (a key, space, a rate): the camera
    is told `later` with this reason. `delay_s`: how much later."""

    def __init__(self, what: str, *, delay_s: float, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.delay_s = delay_s


class RefusedError(AgentError):
    """What came can never be stored as what it claims to be: the camera is told `never`, signed."""


class DamagedFileError(AgentError):
    """The bytes at [`offset`, `offset + length`) of the concatenation are not what the manifest
    names: they are asked for again, once."""

    def __init__(self, what: str, *, offset: int, length: int) -> None:
        super().__init__(what)
        self.offset = offset
        self.length = length
