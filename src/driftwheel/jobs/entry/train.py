"""Entry point of the training job: stands at the top of the code archive, beside the package."""

import sys

from driftwheel.jobs.train import main

if __name__ == "__main__":
    sys.exit(main())
