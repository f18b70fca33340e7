import numpy as np

from pipelines.evaluation.memory import peak_memory

_BYTES = 64 * 2**20


def test_memory_is_what_the_work_took_at_its_peak_and_not_what_is_left() -> None:
    held = np.ones(_BYTES // 8)  # what was there before does not count
    with peak_memory("cpu") as found:
        np.ones(_BYTES // 8)
    assert found.num_bytes is not None
    assert 0.9 * _BYTES < found.num_bytes < 1.5 * _BYTES
    with peak_memory("cpu") as small:
        np.ones(8)
    assert small.num_bytes is not None
    assert small.num_bytes < 0.2 * _BYTES
    assert held.size
