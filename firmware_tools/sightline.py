"""sightline: tools of fleet admins and technicians. `sightline GROUP COMMAND --help` explains."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from agent.errors import AgentError

# One module a group of commands, imported when it is named. It has `SUMMARY`, one line, and
# `add_commands(commands)`, which adds parsers with `run=`: options -> exit code.
GROUPS = {
    "card": "firmware_tools.card_command",
    "keys": "firmware_tools.keys_command",
    "model": "firmware_tools.model_command",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 refused with one line, 2 the command line is wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    named = words[0] if words and words[0] in GROUPS else None
    parser = argparse.ArgumentParser(prog="sightline", description=__doc__)
    groups = parser.add_subparsers(dest="group", required=True, metavar="GROUP")
    for name, module_name in GROUPS.items():
        if named not in (None, name):
            continue
        module = import_module(module_name)
        group = groups.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_commands(group.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    options = parser.parse_args(words)
    try:
        code: int = options.run(options)
    except AgentError as error:
        print(f"sightline: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
