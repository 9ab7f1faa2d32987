"""How large the campaign is: a small seed of each case, or all of it with ``CAMPAIGN=full``.

``CAMPAIGN=whole`` enlarges the floods on the running stack once more, to all of LD-01 and to LD-02's twenty
seeds; every other test is small then.
"""

import os

SIZE = os.environ.get("CAMPAIGN", "")
if SIZE not in {"", "full", "whole"}:
    raise ValueError(f"CAMPAIGN={SIZE}: leave it out, or say full or whole")
FULL = SIZE == "full"
