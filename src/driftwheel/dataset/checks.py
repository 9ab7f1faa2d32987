# ruff: noqa: S608  # every name and text below is quoted by literals.identifier and literals.quote
"""What a data set must be like before money is spent on it.

A file that breaks its contract is refused alone: the others still make a data set. What is wrong with the
whole is a refusal of the whole, and its files stay pending for more data or a mended declaration.
"""

import difflib
from collections.abc import Iterable, Iterator

from driftwheel.dataset.files import Assembled, FileFacts
from driftwheel.dataset.workspace import Workspace
from driftwheel.recipe.literals import identifier
from driftwheel.refusal import Refusal

UNREADABLE_SHARE = 0.5
"""Above this share of bad literals among a column's given values the file holds another kind of column."""

FEW_CELLS = 20
"""Given values of a column below which nothing is said about its kind."""

CHANCE = 1e-6
"""One class in a whole file is no accident when the other files make it rarer than this."""


def refuse_missing_columns(space: Workspace, found: Assembled) -> None:
    """Refuse files that lack a column nobody else gives; say when a whole source is still to come."""
    given_by_others: set[str] = set()
    for number, enrichment in enumerate(space.spec.enrich):
        role = f"enrich-{number}"
        for index in found.readable(role):
            _refuse_missing(space, found.files[index], set(enrichment.on))
        readable = found.readable(role)
        if not readable and found.problem is None:
            found.problem = Refusal(
                code="no-data",
                message=f"no readable file under {enrichment.prefix} yet: its columns cannot be joined",
                hint=f"drop a file under {enrichment.prefix}; what has arrived stays pending until then",
            )
        given_by_others |= {name for index in readable for name in found.files[index].columns}
        if not readable:
            given_by_others |= set(space.columns)  # unknown yet: no source file is to blame
    optional = {name for name, column in space.spec.columns.items() if column.optional}
    needed = set(space.columns) - given_by_others - optional
    joined_on = {name for enrichment in space.spec.enrich for name in enrichment.on}
    needed |= joined_on | set(space.spec.source.key) & set(space.columns)
    for index in found.readable("source"):
        _refuse_missing(space, found.files[index], needed)


def _refuse_missing(space: Workspace, facts: FileFacts, needed: set[str]) -> None:
    missing = [name for name in space.columns if name in needed and name not in facts.columns]
    if not missing:
        return
    name = missing[0]
    near = difflib.get_close_matches(name, set(facts.columns) - set(space.columns), n=1)
    others = f" (and {len(missing) - 1} more: {', '.join(missing[1:6])})" if len(missing) > 1 else ""
    facts.refusal = Refusal(
        code="label-missing" if name in space.answer else "missing-column",
        message=f"{facts.key} has no column '{name}'{others}; it has {', '.join(facts.columns[:12])}",
        key=facts.key,
        column=name,
        line=1,
        hint=(
            f"is '{near[0]}' the new name of '{name}'? Rename it in the file"
            if near
            else "add the column to the export, or take it out of model.yaml"
        ),
    )


def no_source(space: Workspace, found: Assembled) -> Refusal | None:
    """Say why there is nothing to learn from before any row is cleaned; None when there is something."""
    if found.readable("source"):
        return found.problem
    if any(facts.role == "source" for facts in found.files.values()):
        return Refusal(code="no-data", message="every source file of the data set was refused")
    prefix = space.spec.source.prefix
    return Refusal(
        code="no-data",
        message=f"the data set holds no file under {prefix}",
        hint=f"drop files under {prefix}",
    )


def refuse_files(space: Workspace, found: Assembled) -> None:
    """Refuse source files one by one: retyped columns, too many rejected rows, no labels, one class only."""
    rejected = dict(
        space.rows("SELECT __file, count(*) FROM cleaned WHERE __rejected IS NOT NULL GROUP BY 1")
    )
    counts = {
        file: (labelled, positive)
        for file, labelled, positive in space.rows(
            "SELECT __file, count(__label), count(*) FILTER (WHERE __label = 1) FROM cleaned "
            "WHERE __file IS NOT NULL AND __rejected IS NULL GROUP BY 1"
        )
    }
    for number in found.readable("source"):
        facts = found.files[number]
        facts.rejected = int(rejected.get(number, 0))
        for refusal in (
            _retyped(space, number, facts),
            _rejected(space, number, facts),
            _unlabelled(space, facts, counts.get(number, (0, 0))[0]),
        ):
            facts.refusal = facts.refusal or refusal
    _refuse_one_class(space, found, counts)


def _retyped(space: Workspace, number: int, facts: FileFacts) -> Refusal | None:
    for column in space.recipe["columns"]:
        if column["type"] in {"category", "text"}:
            continue
        issue = identifier(f"__issue.{column['name']}")
        bad, given, line = space.one(
            f"SELECT count(*) FILTER (WHERE {issue} = 'bad literal'), "
            f"count(*) FILTER (WHERE {issue} IS DISTINCT FROM 'missing'), "
            f"min(__line) FILTER (WHERE {issue} = 'bad literal') FROM cleaned WHERE __file = {number}"
        )
        if given >= FEW_CELLS and bad > UNREADABLE_SHARE * given:
            name, kind = column["name"], column["type"]
            return Refusal(
                code="schema-break",
                message=(
                    f"{facts.key} column '{name}': {bad} of {given} values are no {kind}, "
                    f"first in line {line}"
                ),
                key=facts.key,
                column=name,
                line=int(line),
                hint=(
                    f"export '{name}' as {kind}, or declare what it is now in model.yaml "
                    "(type, or null_tokens for words that mean missing)"
                ),
            )
    return None


def unreadable_values(space: Workspace, found: Assembled, names: Iterable[str]) -> list[str]:
    """Say where each of these columns first holds a value that is not of its type, and how many there are.

    Too few to refuse a file, and where the column's rule keeps or fills them no row is rejected either.
    """
    kinds = {column["name"]: column["type"] for column in space.recipe["columns"]}
    notes = []
    for name in names:
        issue = identifier(f"__issue.{name}")
        for file, line, count in space.rows(
            f"SELECT __file, min(__line), count(*) FROM usable WHERE {issue} = 'bad literal' "
            "GROUP BY 1 ORDER BY 1 NULLS LAST LIMIT 5"
        ):
            where = "captured traffic" if file is None else found.files[file].key
            notes.append(f"{where} line {line}: '{name}' is no {kinds[name]} ({count} such values)")
    return notes


def _rejected(space: Workspace, number: int, facts: FileFacts) -> Refusal | None:
    rows = facts.rows + facts.bad_line_count
    refused = facts.rejected + facts.bad_line_count
    limit = space.spec.quality.maximum_rejected_share
    if not rows or refused <= limit * rows:
        return None
    worst = space.rows(
        "SELECT __rejected, count(*), min(__line) FROM cleaned "
        f"WHERE __file = {number} AND __rejected IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
    )
    rule, times, line = worst[0] if worst else ("", 0, None)
    if facts.bad_line_count > times and facts.bad_lines:
        rule, times, line = facts.bad_lines[0].reason, facts.bad_line_count, facts.bad_lines[0].line
    return Refusal(
        code="too-many-rejected",
        message=(
            f"{facts.key}: {refused} of {rows} rows were rejected, more than the declared share "
            f"{limit:g}; most often ({times} times): {rule}, first in line {line}"
        ),
        key=facts.key,
        column=rule.partition(":")[0] if worst and times == worst[0][1] else None,
        line=line,
        hint="mend the file and drop it again, or raise quality.maximum_rejected_share",
    )


def _unlabelled(space: Workspace, facts: FileFacts, labelled: int) -> Refusal | None:
    if labelled or facts.refusal or not facts.rows - facts.rejected:
        return None
    answer = sorted(space.answer)
    return Refusal(
        code="label-missing",
        message=f"{facts.key}: no row has a label; it is made of {', '.join(answer)}",
        key=facts.key,
        column=answer[0],
        hint="drop the file again when its labels are known, or check target in model.yaml",
    )


def _refuse_one_class(space: Workspace, found: Assembled, counts: dict[int, tuple[int, int]]) -> None:
    if space.spec.target.kind != "binary":
        return
    readable = found.readable("source")
    for number in readable:
        labelled, positive = counts.get(number, (0, 0))
        if labelled < space.spec.quality.minimum_class_rows or 0 < positive < labelled:
            continue
        others = [counts[n] for n in readable if n != number and n in counts]
        rows, ones = sum(n for n, _ in others), sum(n for _, n in others)
        share = (ones if positive else rows - ones) / rows if rows else 0.0
        if share**labelled >= CHANCE:
            continue
        facts, value = found.files[number], int(bool(positive))
        usual = f"; the other files have it in {share:.1%} of the rows" if rows else ""
        facts.refusal = Refusal(
            code="label-single-class",
            message=f"{facts.key}: all {labelled} labelled rows have the label {value}{usual}",
            key=facts.key,
            column=min(space.answer),
            hint="check the export's filter and target.expression; a model cannot learn from one class",
        )


def refuse_whole(space: Workspace) -> Refusal | None:
    """Say what is wrong with the table ``rows`` as a whole; None when a model can be trained on it."""
    return next(_problems(space), None)


def _problems(space: Workspace) -> Iterator[Refusal]:
    quality, n = space.spec.quality, space.count("rows")
    if n < quality.minimum_rows:
        yield Refusal(
            code="too-few-rows",
            message=f"{n} usable rows, {quality.minimum_rows} are needed",
            hint="drop more files: what has arrived stays pending; or lower quality.minimum_rows",
        )
    if space.spec.target.kind == "binary":
        ones = int(space.one("SELECT count(*) FILTER (WHERE __label = 1) FROM rows")[0])
        rarer = min(ones, n - ones)
        if rarer < quality.minimum_class_rows:
            label = int(ones == rarer)
            yield Refusal(
                code="label-single-class" if not rarer else "too-few-rows",
                message=(
                    f"{rarer} of {n} rows have the label {label}, "
                    f"{quality.minimum_class_rows} of each class are needed"
                ),
                column=min(space.answer),
                hint="check target.expression, drop more files, or lower quality.minimum_class_rows",
            )
