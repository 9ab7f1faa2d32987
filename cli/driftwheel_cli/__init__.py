"""The operator's command, ``driftwheel``."""

import os

# numpy starts a pool of threads otherwise, which takes as long as importing it: no product here is large.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
