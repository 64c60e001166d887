"""`sightline model`: pack models, push them to cameras, see who runs what, take them back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from agent.core.model_targeting import WHOLE_FLEET
from agent.errors import ModelError
from agent.storage import atomic
from firmware_tools import rollouts
from firmware_tools.keys_command import add_repository_options, keys_of, repository_of, settle
from firmware_tools.update_keys import load_signers
from firmware_tools.update_repository import RepositoryProblem, UpdateRepository

SUMMARY = "model bundles: pack, push to cameras, watch, take back"
Options = argparse.Namespace
_WATCH_S = 2.0
_CLEAR = "\x1b[H\x1b[2J"


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    def add(name: str, what: str, run: Callable[[Options], int]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=what)
        command.set_defaults(run=run)
        add_repository_options(command)
        return command

    pack = add("pack", "check a bundle's folder and make one file of it", _pack)
    pack.add_argument("folder", type=Path, metavar="FOLDER")
    pack.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="default: the repository's bundles"
    )
    push = add("push", "send a packed bundle to cameras", _push)
    for name, what in (("--device", "this camera"), ("--group", "the cameras of this group")):
        push.add_argument(name, action="append", default=[], metavar="ID", help=f"{what} alone")
    push.add_argument(
        "--percent", type=_share, default=WHOLE_FLEET, metavar="N", help="of those (100)"
    )
    push.add_argument(
        "--halt-above", type=_share, metavar="N%", help="stop when more of them failed"
    )
    push.add_argument(
        "--hardware", action="append", default=[], metavar="TAG", help="default: its artifacts'"
    )
    push.add_argument(
        "--shadow", type=int, default=0, metavar="MIN", help="first beside the active model"
    )
    push.add_argument(
        "--agree-above", type=_share, metavar="N%", help="then active by itself, if they agree"
    )
    sign = add("sign", "show what waits for signatures, and sign it", _sign)
    promote = add("promote", "to all it was pushed to, and out of the shadow", _promote)
    withdraw = add("withdraw", "take a version back: who runs it goes back", _withdraw)
    halt = add("halt", "reach no further camera; needs the halts' key alone", _halt)
    rollback = add("rollback", "withdraw the newest version that is out", _rollback)
    publish = add("publish", "bring everything that is current to the depot again", _publish)
    refresh = add("refresh", "renew the timestamp and judge roll-outs: for a timer", _refresh)
    for command in (push, promote, withdraw, halt):
        command.add_argument("name", metavar="NAME")
        command.add_argument("version", type=int, metavar="VERSION")
    rollback.add_argument("name", metavar="NAME")
    for command in (push, sign, promote, withdraw, halt, rollback, refresh):
        command.add_argument(
            "--offline", action="store_true", help="do not publish now (`publish` does it later)"
        )
    publish.set_defaults(offline=False)
    status = add("status", "who runs which model, and how far pushes are", _status)
    status.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C")


def _share(text: str) -> int:
    """Percent as a person writes it, in hundredths of a percent."""
    found = round(float(text.removesuffix("%")) * 100)
    if not 0 <= found <= WHOLE_FLEET:
        raise ValueError(text)
    return found


def _pack(options: Options) -> int:
    from firmware_tools.model_pack import pack

    packed = pack(options.folder)
    manifest = packed.manifest
    name = f"{manifest.name}-{manifest.version}.tar"
    out: Path = options.out or repository_of(options).bundles_dir / name
    try:
        atomic.make_directory(out.absolute().parent, mode=0o755)
        atomic.write_file(out, packed.archive, mode=0o644)
    except OSError as exc:
        raise ModelError(f"{out} cannot be written ({exc.strerror})") from exc
    for backend, report in packed.tried.items():
        print(f"{backend}: {report.line}")
    for backend in packed.not_tried:
        print(f"{backend}: not tried here, each camera's gate will")
    print(f"{manifest.name} version {manifest.version}: {out}, {len(packed.archive)} bytes")
    return 0


def _push(options: Options) -> int:
    repository = repository_of(options)
    terms = rollouts.push(
        repository,
        options.name,
        options.version,
        hardware=tuple(options.hardware),
        devices=tuple(options.device),
        groups=tuple(options.group),
        basis_points=options.percent,
        halt_above=options.halt_above,
        shadow_minutes=options.shadow,
        agree_above=options.agree_above,
    )
    print(terms.line)
    return _sign_and_publish(options, repository)


def _sign(options: Options) -> int:

    repository = repository_of(options)
    staged = repository.staged("targets")
    if staged is None and repository.staged("root") is None:
        raise RepositoryProblem("nothing waits for signatures")
    if staged is not None:
        before = rollouts.rollouts_in(repository.targets().signed)
        for terms in rollouts.rollouts_in(staged.signed):
            print(f"{' ' if terms in before else '+'} {terms.line}")
    return _sign_and_publish(options, repository)


def _promote(options: Options) -> int:
    repository = repository_of(options)
    print(rollouts.promote(repository, options.name, options.version).line)
    return _sign_and_publish(options, repository)


def _withdraw(options: Options) -> int:
    repository = repository_of(options)
    print(rollouts.withdraw(repository, options.name, options.version).line)
    return _sign_and_publish(options, repository)


def _rollback(options: Options) -> int:

    options.version = rollouts.newest_pushed(repository_of(options), options.name).version
    return _withdraw(options)


def _halt(options: Options) -> int:
    repository = repository_of(options)
    signers = load_signers(keys_of(options))
    terms = rollouts.halt(repository, options.name, options.version, signers)
    print(f"halted: {terms.line}")
    return publish(options, repository)


def _publish(options: Options) -> int:
    return publish(options, repository_of(options))


def _status(options: Options) -> int:
    from firmware_tools.admin_link import admin_broker, load_admin
    from firmware_tools.fleet_status import FleetWatch, rows, table

    repository = repository_of(options)
    watch = FleetWatch(admin_broker(load_admin(repository.folder)))
    try:
        watch.gather()
        while True:
            terms = rollouts.rollouts_in(repository.targets().signed)
            halted = rollouts.halted_pushes(repository)
            lines = [f"{each.line}{', halted' if each.push in halted else ''}" for each in terms]
            lines += ["", *table(rows(watch.statuses.values(), terms))]
            print("\n".join([_CLEAR, *lines] if options.watch else lines), flush=True)
            if not options.watch:
                return 0
            watch.follow(_WATCH_S)
    finally:
        watch.close()


def _halt_what_fails(repository: UpdateRepository, options: Options) -> None:
    """Stop roll-outs of which more cameras failed than they bear. Raises AgentError."""
    from firmware_tools.admin_link import admin_broker, load_admin
    from firmware_tools.fleet_status import FleetWatch, failures, is_over

    watch = FleetWatch(admin_broker(load_admin(repository.folder)))
    try:
        statuses = list(watch.gather().values())
    finally:
        watch.close()
    halted = rollouts.halted_pushes(repository)
    for terms in rollouts.rollouts_in(repository.targets().signed):
        if terms.push not in halted and is_over(statuses, terms):
            signers = load_signers(keys_of(options))
            rollouts.halt(repository, terms.name, terms.version, signers)
            failed, tried = failures(statuses, terms)
            print(f"halted, {failed} of {tried} cameras failed: {terms.line}")


def _refresh(options: Options) -> int:
    repository = repository_of(options)
    if not options.offline:
        _halt_what_fails(repository, options)
    repository.make_current(load_signers(keys_of(options)), changed=False)
    expires = repository.targets().signed.expires
    print(f"timestamp renewed; the admins' signatures on the targets hold until {expires:%Y-%m-%d}")
    return publish(options, repository)


def _sign_and_publish(options: Options, repository: UpdateRepository) -> int:
    for line in settle(repository, load_signers(keys_of(options))):
        print(line)
    if repository.staged("targets") is not None or repository.staged("root") is not None:
        return 0
    return publish(options, repository)


def publish(options: Options, repository: UpdateRepository) -> int:
    """Bring all that is current to the depot. Raises AgentError."""
    if options.offline:
        return 0
    from firmware_tools.admin_link import admin_broker, load_admin
    from firmware_tools.depot_client import DepotClient

    bundles = rollouts.bundles_to_publish(repository)
    settings = load_admin(repository.folder)
    client = DepotClient(admin_broker(settings), settings.admin.name)
    try:
        client.connect()
        client.bring_all(bundles, repository.publication(), print)
    finally:
        client.close()
    return 0
