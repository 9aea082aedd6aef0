"""Waits until the job has prepared a model: MODEL with WEIGHTS in PACELINE_CACHE_DIR. Runs before a service does."""

import os
import sys
import time

from paceline.models.prepared import NotPreparedError, find_prepared

_POLL_SECONDS = 5.0


def main() -> None:
    """Return once the model is there."""
    while True:
        try:
            directory = find_prepared(os.environ["MODEL"], os.environ["WEIGHTS"])
        except NotPreparedError as error:
            sys.stdout.write(f"waiting for the job paceline-models: {error}\n")
            sys.stdout.flush()
            time.sleep(_POLL_SECONDS)
        else:
            sys.stdout.write(f"{directory}\n")
            return


if __name__ == "__main__":
    main()
