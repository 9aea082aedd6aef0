"""That whoever asked for a text has gone."""

from collections.abc import Callable


class Departure:
    """Told by whoever notices first that the caller has gone; what is to be done then begins at once, and only once."""

    def __init__(self) -> None:
        self._is_noted = False
        self._actions: list[Callable[[], None]] = []

    def note(self) -> None:
        """The caller has gone."""
        self._is_noted = True
        actions, self._actions = self._actions, []
        for action in actions:
            action()

    def then(self, action: Callable[[], None]) -> None:
        """Do something when the caller goes; at once where it has gone."""
        self._actions.append(action)
        if self._is_noted:
            self.note()
