"""What is measured: each file is a program, `python benchmarks/NAME.py`."""

import os

# Large pages for large tensors on Linux, as `rssr sr --fast` has them: PyTorch reads this when it first allocates.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
