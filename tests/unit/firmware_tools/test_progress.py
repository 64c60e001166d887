"""The progress line: in place at a terminal, sparse in a log."""

import io

from firmware_tools.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_log_only_a_new_topic_makes_a_line() -> None:
    log = io.StringIO()
    progress = Progress(log)
    for second in range(5):
        progress.say(f"recording: {second} of 5 s")
    progress.say("stopping")
    assert [line.split("s  ", 1)[1] for line in log.getvalue().splitlines()] == [
        "recording: 0 of 5 s",
        "stopping",
    ]


def test_at_a_terminal_the_line_is_rewritten_and_left_clean() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.say("recording: 1")
    progress.say("recording: 2")
    progress.end()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_note_stays() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.say("recording: 1")
    progress.note("mark pressed")
    assert terminal.getvalue().endswith("mark pressed\n")
