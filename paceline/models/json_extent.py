"""Where a JSON value ends in a text that comes in pieces."""


class JsonExtent:
    """Finds the end of an object or a list; each character is looked at once. What is inside is not checked."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_in_string = False
        self._is_escaped = False

    def end_in(self, piece: str) -> int | None:
        """Take the next piece of the value, and return how much of it belongs to it; None where all of it does."""
        for place, character in enumerate(piece):
            if self._is_in_string:
                self._note_in_string(character)
            elif character == '"':
                self._is_in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return place + 1
        return None

    def _note_in_string(self, character: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif character == "\\":
            self._is_escaped = True
        elif character == '"':
            self._is_in_string = False
