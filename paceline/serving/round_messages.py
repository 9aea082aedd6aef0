"""What both model services translate between messages and our own types."""

from collections.abc import Iterable

from paceline.engine.progress import EngineProgress
from paceline.engine.work import WorkTiming
from paceline.errors import InvalidRequestError
from paceline.serving.sampling_messages import sampling_from
from paceline.serving.session_point import MAX_SESSION_ID_BYTES, SessionPoint
from paceline.serving.status import report_of
from paceline.v1 import round_pb2

MAX_RELEASED_SESSIONS = 4096


def point_from(message: round_pb2.SessionPoint) -> SessionPoint:
    """Return the point of a round as it was sent, not yet checked; raises InvalidRequestError for unknown kinds."""
    return SessionPoint(
        session_id=message.session_id,
        epoch=message.epoch,
        position=message.position,
        prefix_digest=message.prefix_digest,
        committed_ids=tuple(message.committed_ids),
        sampling=sampling_from(message.sampling) if message.HasField("sampling") else None,
        fork_of=message.fork_of,
    )


def error_message(error: BaseException) -> round_pb2.RoundError:
    """Return why a round failed, as its caller may know it."""
    report = report_of(error)
    return round_pb2.RoundError(
        code=report.code.value[0], reason=report.reason, message=report.message, metadata=report.metadata
    )


def timing_message(timing: WorkTiming, waited_ns: int) -> round_pb2.RoundTiming:
    """Return where a round's time went; `waited_ns` is from receipt until its work was submitted."""
    return round_pb2.RoundTiming(
        queue_ns=waited_ns + timing.queue_ns,
        compute_ns=timing.compute_ns,
        num_steps=timing.num_steps,
        batch_rows=timing.batch_rows,
        num_cached_tokens=timing.num_cached_tokens,
        batch_sessions=timing.batch_sessions,
    )


def progress_message(progress: EngineProgress | None) -> round_pb2.Progress | None:
    """Return a sign of life; none where none is due."""
    return round_pb2.Progress(**progress._asdict()) if progress is not None else None


def check_releases(releases: Iterable[round_pb2.SessionRelease]) -> None:
    """Raise InvalidRequestError unless each release names a session and there are not too many."""
    ids = [release.session_id for release in releases]
    if len(ids) > MAX_RELEASED_SESSIONS:
        raise InvalidRequestError(
            f"{len(ids)} sessions are too many to release at once; send at most {MAX_RELEASED_SESSIONS}",
            field="sessions",
            maximum=MAX_RELEASED_SESSIONS,
        )
    if any(not 1 <= len(session_id.encode()) <= MAX_SESSION_ID_BYTES for session_id in ids):
        raise InvalidRequestError(
            f"session_id must have 1 to {MAX_SESSION_ID_BYTES} bytes", field="sessions.session_id"
        )
