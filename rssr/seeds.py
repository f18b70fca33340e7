"""Seeds as pure functions of what they are for.

Every random decision in training and inference draws from a generator whose seed is derived from names and
counters (run seed, epoch, step, image key ...), never from a generator that earlier decisions have advanced.
So any sample can be reproduced alone, by any worker, after any interruption.
"""

import hashlib

import numpy as np

_SEED_BITS = 63  # fits a signed 64-bit integer: Arrow columns and torch.manual_seed take it


def derive_seed(*parts: int | str) -> int:
    """Hash names and counters to a seed in [0, 2**63).

    Args:
        *parts: What the seed is for, from general to particular, e.g. `(run_seed, "degradation", epoch, 7)`.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        kind = b"i" if isinstance(part, int | np.integer) else b"s"  # counters may come back from arrays
        text = str(part).encode(errors="surrogatepass")  # file names need not be valid UTF-8
        digest.update(kind + len(text).to_bytes(8, "little") + text)
    return int.from_bytes(digest.digest(), "little") >> (64 - _SEED_BITS)


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """A counter-based NumPy generator (Philox) for one purpose; see `derive_seed`."""
    return np.random.Generator(np.random.Philox(key=derive_seed(*parts)))
