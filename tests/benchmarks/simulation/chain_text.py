"""The text of a chain model, one id after the other and without any engine."""

import numpy as np


def continuation(model, ids, num_ids):
    known = list(ids)
    for _ in range(num_ids):
        known += model.next_ids(np.array(known[-1:]), np.array([len(known) - 1])).tolist()
    return known[len(ids) :]
