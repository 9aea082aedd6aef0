"""The alphabet of byte-level BPE: each of the 256 bytes is written as one printable character.

Follows GPT-2's encoder (https://github.com/openai/gpt-2/blob/master/src/encoder.py).
Example: " hé" is "ĠhÃ©".
"""

NUM_BYTES = 256


def _printable_bytes() -> list[int]:
    return [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]


def _character_of_byte() -> dict[int, str]:
    characters = {byte: chr(byte) for byte in _printable_bytes()}
    for byte in range(NUM_BYTES):
        if byte not in characters:
            # The rest take the code points after 255 in the order of their bytes.
            characters[byte] = chr(NUM_BYTES + len(characters) - len(_printable_bytes()))
    return characters


BYTE_OF_CHARACTER = {character: byte for byte, character in _character_of_byte().items()}


def token_bytes(token: str) -> bytes:
    """Return the bytes that a token stands for; a character outside the alphabet stands for its UTF-8."""
    try:
        return bytes(map(BYTE_OF_CHARACTER.__getitem__, token))
    except KeyError:
        return token.encode("utf-8")
