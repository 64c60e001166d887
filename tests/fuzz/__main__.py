"""Coverage-guided fuzzing of every decoder with atheris (libFuzzer): `make fuzz FUZZ_S=60`.

The first byte of an input chooses the target, the rest is what it decodes. Ends with 0 when the
time is over; a crash, a hang of 5 s or more than 1 GiB of memory ends it with the input in
build/fuzz/. What reached new code is kept in build/fuzz/corpus/ and is where the next run begins.

    python -m tests.fuzz FILE        runs one such input again
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

FOUND = Path("build/fuzz")
CORPUS = FOUND / "corpus"
MOST_BYTES = 64 * 1024
HANG_S = 5
MEMORY_MIB = 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("file", type=Path, nargs="?", help="an input that was found")
    options = parser.parse_args()
    if options.file is not None:
        return _again(options.file)
    return _search(options.seconds)


def _again(file: Path) -> int:
    from tests.fuzz.targets import all_targets, run_target

    targets, content = list(all_targets().items()), file.read_bytes()
    name, fuzzed = targets[content[0] % len(targets)]
    print(f"{file}: {name}, {len(content) - 1} bytes")
    run_target(fuzzed.target, content[1:])
    print("refused in one line, or taken")
    return 0


def _search(seconds: int) -> int:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: run `make fuzz` (x86-64 only)", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["agent", "collector"]):
        from tests.fuzz.targets import all_targets, mutated, run_target
    targets = list(all_targets().items())

    def one(content: bytes) -> None:
        if content:
            run_target(targets[content[0] % len(targets)][1].target, content[1:])

    def mutate(content: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if content and chance.random() < 0.5:
            return (content[:1] + mutated(content[1:], chance))[:max_size]
        return bytes(atheris.Mutate(content, max_size))

    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, (_, fuzzed) in enumerate(targets):
        for count, seed in enumerate(fuzzed.seeds):
            (CORPUS / f"seed-{number}-{count}").write_bytes(bytes([number]) + seed)
    print(f"{len(targets)} targets for {seconds} s", flush=True)
    arguments = [
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={FOUND}/",
        "-print_final_stats=1",
        "-print_pcs=0",
        "-reduce_inputs=0",
        str(CORPUS),
    ]
    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=mutate)
    atheris.Fuzz()  # it ends the process itself
    return 0


if __name__ == "__main__":
    sys.exit(main())
