"""Entry point of the domain classifier's job: stands at the top of the code archive, beside the package."""

import sys

from driftwheel.jobs.domain_job import main

if __name__ == "__main__":
    sys.exit(main())
