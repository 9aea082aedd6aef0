"""What can go wrong while a model is read."""

from paceline.errors import PacelineError


class ReadingFailedError(PacelineError):
    """The process that read a model failed or died (`detail`)."""

    reason = "READING_FAILED"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"a model could not be read: {detail}", detail=detail)
