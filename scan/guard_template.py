"""cfn-guard over a template: one JSON list of [rule, resource]. Runs in the scanners' environment.

The binding cuts off the report of some failing rules, so that it is no JSON. Therefore a rule that does not
pass the whole template is asked again for each resource alone, and any answer but PASS or SKIP is a finding.
"""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfn_guard_rs

Template = dict[str, Any]


def passes(template: Template, rule: str) -> bool:
    try:
        return cfn_guard_rs.run_checks(template, rule).status in {"PASS", "SKIP"}
    except json.JSONDecodeError:
        return False


def findings(template: Template, folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.guard")):
        rule = path.read_text(encoding="utf-8")
        if passes(template, rule):
            continue
        alone = [
            name
            for name, resource in template["Resources"].items()
            if not passes({"Resources": {name: resource}}, rule)
        ]
        for name in alone or ["the template"]:
            yield path.stem, name


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    body = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(list(findings(body, Path(sys.argv[2])))))
