"""One error tree. Every leaf says what, where and the remedy, in one line, for a person."""


class AgentError(Exception):
    """Base of all errors that a person may meet.

    `what` names the thing and the place; `remedy` says what to do about it. `str()` gives one
    line without line breaks. A program that ends on one prints the line and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        line = f"{self.what}: {self.remedy}" if self.remedy else self.what
        return " ".join(line.split())


class ConfigError(AgentError):
    """A setting that cannot be used; names file, key, value and what is allowed."""

    exit_code = 2

    def __init__(self, file: str, key: str, problem: str, *, remedy: str = "") -> None:
        where = f"{file}: {key}" if key else file
        super().__init__(f"{where}: {problem}", remedy=remedy)
        self.file = file
        self.key = key


class CameraError(AgentError):
    """The camera cannot be opened, stalled or vanished."""


class FootageError(CameraError):
    """A replay file that cannot be read as video."""


class EncoderError(AgentError):
    """The encoder refused its settings or a frame."""


class ButtonError(AgentError):
    """The button cannot be opened, or has gone."""


class IndicatorError(AgentError):
    """Lamps or motor cannot be opened, or refuse to be set."""


class AcceleratorError(AgentError):
    """The accelerator is missing, refused the model or failed on a picture."""


class ModelError(AgentError):
    """A model bundle that is missing, damaged or does not agree with itself."""


class UpdateError(AgentError):
    """A model update that cannot go on now; nothing of what runs changed."""


class UpdateRefusedError(UpdateError):
    """A model update that will not do on this camera, however often it is tried."""


class BrokerError(AgentError):
    """The broker connection cannot be set up as configured."""


class KeyFileError(AgentError):
    """A key or certificate file that is missing, unreadable or of the wrong kind."""


class CustodyError(AgentError):
    """A custody line or chain that does not verify."""


class SpoolError(AgentError):
    """The spool cannot be read or written."""


class WireError(AgentError):
    """Bytes from another program that break the agreed format; `what` is the reason."""


class OrderError(AgentError):
    """An order of the server that is not obeyed; `what` is the reason."""


class CardError(AgentError):
    """A scenario card that is not believed; `what` says what was shown instead."""


class ControlError(AgentError):
    """A control request that could not be delivered or was refused."""
