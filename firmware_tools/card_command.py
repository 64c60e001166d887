"""`sightline card`: the key of scenario cards, printed cards, pseudonyms."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from agent.crypto.cards import sign_card
from agent.crypto.keys import thumbprint
from agent.errors import CardError
from agent.storage import atomic
from agent.wire.declaration import MAX_CONSENTS, Declaration
from firmware_tools.card_office import CardOffice, found_office

SUMMARY = "scenario cards: what an exercise is, printed for the lens"
_KINDS: dict[str, Literal["png", "pdf"]] = {".png": "png", ".pdf": "pdf"}
# Version 7: of more, too little is left of a module at arm's length.
_MOST_MODULES = 45


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    new_key = commands.add_parser("new-key", help="make the key that signs cards, once")
    new_key.add_argument("folder", type=Path, metavar="DIR", help="a new folder, kept safe")
    new_key.set_defaults(run=_new_key)
    make = commands.add_parser("make", help="make a card to print")
    make.add_argument("out", type=Path, metavar="OUT", help="file to write: .pdf or .png")
    make.add_argument("--keys", type=Path, required=True, metavar="DIR", help="from new-key")
    for word in ("scenario", "environment", "site"):
        make.add_argument(f"--{word}", default="", metavar="WORD", help="small letters, 0-9, _, -")
    make.add_argument("--trainer", default="", metavar="WHO", help="becomes a pseudonym")
    make.add_argument(
        "--consent",
        action="append",
        default=[],
        metavar="WHO",
        help="who agreed to be filmed, or their form's number; becomes a pseudonym; repeat",
    )
    make.set_defaults(run=_make)
    pseudonym = commands.add_parser("pseudonym", help="the pseudonym of a person, for a plan")
    pseudonym.add_argument("role", choices=("trainer", "consent"))
    pseudonym.add_argument("person", metavar="WHO")
    pseudonym.add_argument("--keys", type=Path, required=True, metavar="DIR", help="from new-key")
    pseudonym.set_defaults(run=_pseudonym)


def _new_key(options: argparse.Namespace) -> int:
    public = found_office(options.folder)
    print(f"card key made in {options.folder}; cameras must know {public}:")
    print("  as trust.card_key_file, or by `sightline-collector order keys --card-key`")
    return 0


def _pseudonym(options: argparse.Namespace) -> int:
    print(CardOffice(options.keys).pseudonym(options.role, options.person))
    return 0


def _make(options: argparse.Namespace) -> int:
    from firmware_tools.card_sheet import CardSheet

    kind = _KINDS.get(options.out.suffix.lower())
    if kind is None:
        raise CardError(f"{options.out} is neither .pdf nor .png", remedy="name one of them")
    office = CardOffice(options.keys)
    declared = _declared(options, office)
    text = sign_card(declared, office.key)
    now = datetime.now(UTC)
    kid = thumbprint(office.key.public_key())
    sheet = CardSheet(text, declared, f"made {now:%Y-%m-%d}, key {kid[:8]}")
    if sheet.modules > _MOST_MODULES:
        raise CardError(
            "this is too much for a card that a camera can read", remedy="fewer consents, or words"
        )
    try:
        atomic.write_file(options.out, sheet.file(kind), mode=0o644)
    except OSError as exc:
        raise CardError(f"{options.out} cannot be written ({exc.strerror})") from exc
    office.made(declared, now.isoformat(timespec="seconds"))
    said = " ".join(f"{label.key}={label.value}" for label in declared.labels(""))
    print(
        f"{options.out}: {said} ({sheet.modules} modules a side; print it on A4, without scaling)"
    )
    return 0


def _declared(options: argparse.Namespace, office: CardOffice) -> Declaration:
    if len(options.consent) > MAX_CONSENTS:
        raise CardError(f"more than {MAX_CONSENTS} consents", remedy="make a second card")
    words = {word: getattr(options, word) for word in ("scenario", "environment", "site")}
    try:
        # Words first: a person is put into the register only when the rest can be used.
        declared = msgspec.convert(words, Declaration)
    except msgspec.ValidationError as exc:
        name = str(exc).rpartition("$.")[2].rstrip("`")
        raise CardError(
            f"--{name} {words.get(name, '')!r} cannot be used",
            remedy="up to 32 small letters, digits, _ and -, beginning with a letter or digit",
        ) from exc
    declared = msgspec.structs.replace(
        declared,
        trainer=options.trainer and office.pseudonym("trainer", options.trainer),
        consents=tuple(office.pseudonym("consent", each) for each in options.consent),
    )
    if declared.says_nothing:
        raise CardError("the card would declare nothing", remedy="give --scenario or another word")
    return declared
