"""parliament over policy documents: one JSON list of [finding, place, detail].

Runs in the scanners' environment. Reads a JSON object: place → identity policy, every intrinsic function
resolved.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from parliament import analyze_policy_string


def findings(documents: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for place, document in documents.items():
        for each in analyze_policy_string(json.dumps(document)).findings:
            details = each.detail if isinstance(each.detail, list) else [each.detail]
            for detail in details:
                action = detail.get("action", "") if isinstance(detail, dict) else ""
                yield f"{each.issue}[{action}]", place, str(detail)


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(list(findings(asked))))
