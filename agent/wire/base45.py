"""Base45 (RFC 9285): bytes in the 45 characters that a QR code packs two to 11 bits."""

from __future__ import annotations

from agent.errors import WireError

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}


def encode45(content: bytes) -> str:
    letters = []
    for at in range(0, len(content), 2):
        pair = content[at : at + 2]
        number = int.from_bytes(pair, "big")
        for _ in range(len(pair) + 1):
            number, value = divmod(number, 45)
            letters.append(ALPHABET[value])
    return "".join(letters)


def decode45(text: str) -> bytes:
    """Raises WireError: a character of another alphabet, a length or a group that nothing gives."""
    if len(text) % 3 == 1:
        raise WireError(f"{len(text)} characters are no base45")
    content = bytearray()
    for at in range(0, len(text), 3):
        group = text[at : at + 3]
        try:
            number = sum(_VALUE[letter] * 45**power for power, letter in enumerate(group))
            content += number.to_bytes(len(group) - 1, "big")
        except (KeyError, OverflowError) as exc:
            raise WireError(f"{group!r} is no base45") from exc
    return bytes(content)
