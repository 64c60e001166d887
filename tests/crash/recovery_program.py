"""The recovery of many disks, one after another, in a process of its own: for strace to watch.

python -m tests.crash.recovery_program card|store FLEET COLLECTOR_TOML FOLDER...
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from firmware_tools.dev_fleet import open_fleet
from tests.crash.card import CardKeys, recover
from tests.crash.store import StoreCheck


def main(part: str, fleet: Path, collector_config: Path, folders: list[Path]) -> None:
    logging.disable(logging.CRITICAL)
    keys = CardKeys.of(open_fleet(fleet))
    with tempfile.TemporaryDirectory() as scratch:
        store = StoreCheck(Path(scratch), collector_config, keys, {})
        for number, folder in enumerate(folders):
            if part == "card":
                recover(folder, keys, uplink_first=number % 2 == 0)
            else:
                store.restart(folder)
                store.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [Path(text) for text in sys.argv[4:]])
