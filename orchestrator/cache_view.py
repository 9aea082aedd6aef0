"""What one replica's cache of a session is known to hold."""

from orchestrator.session import Session
from paceline.serving.session_point import PrefixDigester, SessionPoint


class CacheView:
    """The first `known_length` ids of a session are in a replica's cache, as far as its answers say.

    Example: the session's ids are [5, 6, 7, 8] and the replica has confirmed 3 of them. The next point is
    position 3, committed_ids [8]; after `forget` it is position 0, committed_ids [5, 6, 7, 8].
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._digester = PrefixDigester()
        self.known_length = 0
        self._answered_epoch = 0  # epochs start at 1

    def point(self) -> SessionPoint:
        """Return the point that brings the cache to all ids of the session."""
        session = self._session
        # At least one id is sent, because a row has to choose the next one.
        position = min(self.known_length, len(session.ids) - 1)
        return SessionPoint(
            session.session_id,
            session.epoch,
            position,
            self._digester.digest(session.ids, position),
            tuple(session.ids[position:]),
            None if self._answered_epoch == session.epoch else session.sampling,
            session.fork_of if self.known_length == 0 else "",
        )

    def confirm(self, length: int) -> None:
        """Note that the replica has answered in this epoch, and that it holds the first `length` ids."""
        self.known_length = length
        self._answered_epoch = self._session.epoch

    def forget(self) -> None:
        """Note that the replica may hold nothing, so that the next point has all ids."""
        self.known_length = 0
        self._answered_epoch = 0
