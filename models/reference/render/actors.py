"""The people and weapons of a scene, as DECORATE text (the engine's actor language) and sprites.

Roles are read off class names, which the labels buffer reports: see `truth.KINDS`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.reference.render import figures
from models.reference.render.wad import Lump, picture_origin, picture_pixels, png

KIND_NUMBERS = {
    "SLHostile0": 12000, "SLHostile1": 12001, "SLHostile2": 12002,
    "SLZombie0": 12003, "SLZombie1": 12004, "SLZombie2": 12005,
    "SLCiv0": 12010, "SLCiv1": 12011, "SLCiv2": 12012, "SLCiv3": 12013,
    "SLHostage0": 12020, "SLHostage1": 12021,
    "SLRole0": 12030,
    "SLCasualty0": 12040, "SLCasualty1": 12041,
    "SLTarget": 12050,
}  # fmt: skip
ROLE_CLASSES = {
    "hostile": ("SLHostile0", "SLHostile1", "SLHostile2", "SLZombie0", "SLZombie1", "SLZombie2"),
    "civ": ("SLCiv0", "SLCiv1", "SLCiv2", "SLCiv3"),
    "hostage": ("SLHostage0", "SLHostage1"),
    "role": ("SLRole0",),
    "dead": ("SLCasualty0", "SLCasualty1"),
    "target": ("SLTarget",),
}
PLAYER_CLASS = "SLWearer"
# weapon -> (class, slot, ammunition class). Slots follow DoomPlayer's; the fist is the bare hand.
WEAPONS = {
    "fist": ("Fist", 1, ""),
    "pistol": ("SLPistol", 2, "Clip"),
    "shotgun": ("SLShotgun", 3, "Shell"),
    "chaingun": ("SLChaingun", 4, "Clip"),
    "double": ("SLDouble", 3, "Shell"),
    "rifle": ("SLRifle", 4, "Clip"),
}
LONG_GUNS = frozenset({"shotgun", "double"})
AUTOMATICS = frozenset({"chaingun", "rifle"})
FIREARMS = frozenset(WEAPONS) - {"fist"}
TRAINED_WEAPONS = ("pistol", "shotgun", "chaingun")
UNSEEN_WEAPONS = ("double", "rifle")

_PLAYER = """
ACTOR SLWearer : DoomPlayer
{{
  DamageFactor "Normal", 0
  DamageFactor "Bullet", 0
  Player.StartItem "Fist"
{items}
  Player.StartItem "Clip", 200
  Player.StartItem "Shell", 100
  Player.WeaponSlot 1, Fist
{slots}
}}
"""
_PERSON = """
ACTOR {name} : {parent} {number}
{{
  Scale {scale}
  Health {health}
  Radius 16
  Height 56
  Speed {speed}
  PainChance 160
  Monster
  +FLOORCLIP
  +NOINFIGHTING
  -COUNTKILL
  {flags}
  DropItem ""
  States
  {{
  Spawn:
{spawn}
  See:
{see}
{missile}
  Pain:
    {sprite} G 6
    Goto See
  Death:
    {sprite} H 5
    {sprite} I 5 A_NoBlocking
    {sprite} J -1
    Stop
  XDeath:
    {sprite} H 5
    {sprite} I 5 A_NoBlocking
    {sprite} J -1
    Stop
  Raise:
    Stop
  }}
}}
"""
_ZOMBIE = """
ACTOR {name} : {parent} {number}
{{
  DropItem ""
  -COUNTKILL
  +NOINFIGHTING
}}
"""
_PROP = """
ACTOR {name} {number}
{{
  Scale {scale}
  Radius {radius}
  Height {height}
  {flags}
  States
  {{
  Spawn:
    {sprite} A -1
    Stop
  }}
}}
"""
# Each weapon keeps its parent's timing; only the pictures' names change.
_WEAPONS = """
ACTOR SLPistol : Pistol
{
  States
  {
  Ready:
    QPIS A 1 A_WeaponReady
    Loop
  Deselect:
    QPIS A 1 A_Lower
    Loop
  Select:
    QPIS A 1 A_Raise
    Loop
  Fire:
    QPIS A 4
    QPIS B 6 A_FirePistol
    QPIS C 4
    QPIS B 5 A_ReFire
    Goto Ready
  Flash:
    QPIF A 7 Bright A_Light1
    Goto LightDone
  }
}
ACTOR SLShotgun : Shotgun
{
  States
  {
  Ready:
    QSHT A 1 A_WeaponReady
    Loop
  Deselect:
    QSHT A 1 A_Lower
    Loop
  Select:
    QSHT A 1 A_Raise
    Loop
  Fire:
    QSHT A 3
    QSHT A 7 A_FireShotgun
    QSHT BC 5
    QSHT D 4
    QSHT CB 5
    QSHT A 3
    QSHT A 7 A_ReFire
    Goto Ready
  Flash:
    QSHF A 4 Bright A_Light1
    QSHF B 3 Bright A_Light2
    Goto LightDone
  }
}
ACTOR SLChaingun : Chaingun
{
  States
  {
  Ready:
    QCHG A 1 A_WeaponReady
    Loop
  Deselect:
    QCHG A 1 A_Lower
    Loop
  Select:
    QCHG A 1 A_Raise
    Loop
  Fire:
    QCHG AB 4 A_FireCGun
    QCHG B 0 A_ReFire
    Goto Ready
  Flash:
    QCHF A 5 Bright A_Light1
    Goto LightDone
    QCHF B 5 Bright A_Light2
    Goto LightDone
  }
}
ACTOR SLDouble : SuperShotgun
{
}
ACTOR SLRifle : Chaingun
{
  States
  {
  Ready:
    PLSG A 1 A_WeaponReady
    Loop
  Deselect:
    PLSG A 1 A_Lower
    Loop
  Select:
    PLSG A 1 A_Raise
    Loop
  Fire:
    PLSG AA 4 A_FireCGun
    PLSG A 0 A_ReFire
    Goto Ready
  Flash:
    PLSF A 5 Bright A_Light1
    Goto LightDone
    PLSF B 5 Bright A_Light2
    Goto LightDone
  }
}
"""
_SPRITE_SOURCES = {"PISG": "QPIS", "PISF": "QPIF", "SHTG": "QSHT", "SHTF": "QSHF",
                   "CHGG": "QCHG", "CHGF": "QCHF"}  # fmt: skip
_FLASHES = ("PISF", "SHTF", "CHGF")
# What the engine's maps hold: monsters and pick-ups make room for people, gore for nothing.
_MONSTERS = ("ZombieMan", "ShotgunGuy", "ChaingunGuy", "DoomImp", "Demon", "Spectre", "LostSoul",
             "Cacodemon", "HellKnight", "BaronOfHell", "Arachnotron", "PainElemental", "Revenant",
             "Fatso", "Archvile", "WolfensteinSS", "Cyberdemon", "SpiderMastermind")  # fmt: skip
_PICKUPS = ("Clip", "ClipBox", "Shell", "ShellBox", "RocketAmmo", "RocketBox", "Cell", "CellPack",
            "Stimpack", "Medikit", "HealthBonus", "ArmorBonus", "GreenArmor", "BlueArmor",
            "Soulsphere", "Shotgun", "Chaingun", "SuperShotgun", "RocketLauncher", "PlasmaRifle",
            "BFG9000", "Chainsaw", "Backpack", "Berserk", "Megasphere", "InvulnerabilitySphere",
            "BlurSphere", "RadSuit", "Infrared", "Allmap")  # fmt: skip
_GORE = ("ExplosiveBarrel", "BloodyTwitch", "Meat2", "Meat3", "Meat4", "Meat5", "HangNoGuts",
         "HangBNoBrain", "HangTLookingDown", "HangTSkull", "HangTLookingUp", "HangTNoBrain",
         "NonsolidMeat2", "NonsolidMeat3", "NonsolidMeat4", "NonsolidMeat5", "NonsolidTwitch",
         "HeadsOnAStick", "HeadCandles", "LiveStick", "DeadStick", "HeadOnAStick")  # fmt: skip


@dataclass(frozen=True)
class Cast:
    """What a scene's people do: hostiles hold fire, civilians walk about."""

    hostiles_fire: bool
    civilians_move: bool
    weapons: tuple[str, ...]
    on_engine_map: bool


def decorate(cast: Cast, rng: random.Random) -> str:
    """The scene's DECORATE lump."""
    parts = [_WEAPONS, _player(cast.weapons)]
    parts += [_person(name, cast, "hostile") for name in ROLE_CLASSES["hostile"][:3]]
    for name, parent in zip(ROLE_CLASSES["hostile"][3:], _MONSTERS[:3], strict=True):
        parts.append(_ZOMBIE.format(name=name, parent=parent, number=KIND_NUMBERS[name]))
    for role in ("civ", "hostage", "role"):
        parts += [_person(name, cast, role) for name in ROLE_CLASSES[role]]
    scale = figures.SPRITE_SCALE
    for i, name in enumerate(ROLE_CLASSES["dead"]):
        parts.append(_PROP.format(name=name, number=KIND_NUMBERS[name], scale=scale, radius=16,
                                  height=12, flags="", sprite=f"QDE{i}"))  # fmt: skip
    parts.append(_PROP.format(name="SLTarget", number=KIND_NUMBERS["SLTarget"], scale=scale,
                              radius=12, height=56, flags="+SOLID", sprite="QTGT"))  # fmt: skip
    if cast.on_engine_map:
        parts.append(_replacements(rng))
    return "\n".join(parts)


def sprites(rng: random.Random, engine: dict[str, bytes]) -> list[Lump]:
    """Drawn people and this scene's variants of the wearer's weapons. `engine`: its lumps."""
    lumps: list[Lump] = []
    for role in ("hostile", "civ", "hostage", "role"):
        for name in ROLE_CLASSES[role]:
            if not name.startswith("SLZombie"):
                lumps += figures.sprite_lumps(_sprite(name), figures.draw_figure(rng, role))
    for i in range(len(ROLE_CLASSES["dead"])):
        role = rng.choice(("civ", "civ", "hostile"))
        lumps += figures.lying_lumps(f"QDE{i}", figures.draw_figure(rng, role))
    lumps += figures.target_lumps("QTGT", rng)
    return lumps + _weapon_sprites(rng, engine)


def _sprite(name: str) -> str:
    role, number = name[2:-1], name[-1]
    return {"Hostile": "QHO", "Civ": "QCI", "Hostage": "QHG", "Role": "QRO"}[role] + number


def _person(name: str, cast: Cast, role: str) -> str:
    sprite = _sprite(name)
    hostile = role == "hostile"
    walk = "A_Chase" if hostile and cast.hostiles_fire else "A_Wander"
    stay = f"    {sprite} A 10 A_Look\n    Loop" if hostile else f"    {sprite} A 10\n    Goto See"
    if role == "hostage" or (not hostile and not cast.civilians_move):
        see = f"    {sprite} A 35\n    Loop"
    else:
        steps = "\n".join(f"    {sprite} {frame} 4 {walk}" for frame in "AABBCCDD")
        see = f"{steps}\n    Loop"
    missile = ""
    if hostile:
        missile = (
            f"  Missile:\n    {sprite} E 12 A_FaceTarget\n    {sprite} F 6 Bright A_PosAttack\n"
            f"    {sprite} E 10\n    Goto See\n"
        )
    return _PERSON.format(
        name=name, parent="Actor", number=KIND_NUMBERS[name], scale=figures.SPRITE_SCALE,
        health=20, speed=8 if hostile else 4, flags="" if hostile else "+NOTARGET",
        sprite=sprite, spawn=stay, see=see, missile=missile,
    )  # fmt: skip


def _player(weapons: tuple[str, ...]) -> str:
    armed = [WEAPONS[w] for w in weapons if w != "fist"]
    items = "\n".join(f'  Player.StartItem "{class_}"' for class_, _, _ in armed)
    slots = "\n".join(f"  Player.WeaponSlot {slot}, {class_}" for class_, slot, _ in armed)
    return _PLAYER.format(items=items, slots=slots)


def _replacements(rng: random.Random) -> str:
    weights = {"SLHostile0": 60, "SLHostile1": 50, "SLZombie0": 40, "SLZombie1": 30, "SLCiv0": 45,
               "SLCiv1": 45, "SLHostage0": 40, "SLHostage1": 30, "SLRole0": 25,
               "SLCasualty0": 35}  # fmt: skip
    parts = [_spawner("SLMonsterSpot", weights, 255)]
    parts.append(_spawner("SLPickupSpot", weights, rng.choice((70, 110, 150))))
    for i, name in enumerate(_MONSTERS):
        parts.append(f"ACTOR SLMon{i} : SLMonsterSpot replaces {name}\n{{\n}}")
    for i, name in enumerate(_PICKUPS):
        parts.append(f"ACTOR SLPick{i} : SLPickupSpot replaces {name}\n{{\n}}")
    for i, name in enumerate(_GORE):
        parts.append(
            f"ACTOR SLGone{i} replaces {name}\n{{\n  +NOINTERACTION\n  States\n  {{\n  Spawn:\n"
            "    TNT1 A -1\n    Stop\n  }\n}"
        )
    return "\n".join(parts)


def _spawner(name: str, weights: dict[str, int], chance: int) -> str:
    drops = "\n".join(f'  DropItem "{class_}", {chance}, {w}' for class_, w in weights.items())
    return f"ACTOR {name} : RandomSpawner\n{{\n{drops}\n}}"


def _weapon_sprites(rng: random.Random, engine: dict[str, bytes]) -> list[Lump]:
    """The engine's weapon pictures in another tone, now and then in the left hand."""
    palette = np.frombuffer(engine["PLAYPAL"][:768], np.uint8).reshape(256, 3)
    tone = np.array([rng.uniform(0.6, 1.35) for _ in range(3)]) * rng.uniform(0.7, 1.15)
    left_handed = rng.random() < 0.25
    lumps = []
    for name, content in engine.items():
        if name[:4] in _SPRITE_SOURCES and len(name) == 6:
            pixels = picture_pixels(content, palette).copy()
            if name[:4] not in _FLASHES:
                pixels[..., :3] = np.clip(pixels[..., :3] * tone, 0, 255)
            lumps.append(_mirrored(name, content, pixels, left_handed))
    return lumps


def _mirrored(name: str, content: bytes, pixels: NDArray[np.uint8], left_handed: bool) -> Lump:
    x, y = picture_origin(content)
    if left_handed:
        # Weapon origins count from the left of a screen of 320.
        pixels = np.ascontiguousarray(pixels[:, ::-1])
        x = -(320 - (-x + pixels.shape[1]))
    return Lump(_SPRITE_SOURCES[name[:4]] + name[4:], png(pixels, (x, y)))
