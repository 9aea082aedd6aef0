"""Python's garbage collector in a program that serves."""

import gc

# Young objects that start a collection: as many as a hundred rounds make, instead of the 700 of a script.
_YOUNG_OBJECTS = 50_000
_COLLECTIONS_PER_OLDER_ONE = 20


def spare_long_lived_objects() -> None:
    """Have the collector look at what is made from now on only, and less often; call it when a start is over.

    What modules, models and servers are made of is never garbage, and walking through it takes the collector tens of
    milliseconds each time, in which no round goes on.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _COLLECTIONS_PER_OLDER_ONE, _COLLECTIONS_PER_OLDER_ONE)
