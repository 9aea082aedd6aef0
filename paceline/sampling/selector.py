"""The seam where sampling parameters become the function that chooses ids."""

from paceline.engine.work import Selector
from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import SamplingParameters


def selector_for(sampling: SamplingParameters) -> Selector | None:
    """Return what chooses ids: None is the engine's own greedy choice, the lowest id of equals.

    Raises InvalidRequestError for a temperature other than 0, which is not served yet.
    """
    if sampling.temperature == 0.0:
        return None
    raise InvalidRequestError(
        f"temperature {sampling.temperature} is not served yet; leave it out or send 0",
        field="sampling.temperature",
        value=sampling.temperature,
    )
