"""Why a file or a data set is refused: a closed list of codes, explained in ``docs/errors.md``."""

from typing import Literal, get_args

from driftwheel.refusal import Refusal

Code = Literal[
    "corrupt",
    "decoded-too-large",
    "duplicate-column",
    "empty-file",
    "encoding",
    "format-mismatch",
    "header-only",
    "json-depth",
    "json-invalid",
    "label-missing",
    "label-single-class",
    "line-too-long",
    "missing-column",
    "no-data",
    "object-gone",
    "parse-error",
    "schema-break",
    "too-few-rows",
    "too-many-columns",
    "too-many-rejected",
    "unsupported-type",
    "wrong-delimiter",
]

CODES: frozenset[str] = frozenset(get_args(Code))


class Unreadable(Exception):
    """When a whole file is refused; ``refusal`` says why in words a person can act on."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        key: str,
        column: str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.refusal = Refusal(code=code, message=message, key=key, column=column, line=line, hint=hint)


def named_twice(key: str, column: str, line: int | None = None) -> Unreadable:
    """Say that a file names a column more than once; ``line`` is where text names them."""
    message = f"{key} has the column '{column}' more than once"
    hint = "rename one of them: which one counts cannot be guessed"
    return Unreadable("duplicate-column", message, key=key, column=column, line=line, hint=hint)


def no_rows(key: str, line: int | None = None) -> Unreadable:
    """Say that a file has columns and nothing else; ``line`` is where text names them."""
    hint = "check the export's filter"
    return Unreadable("header-only", f"{key} has columns and no rows", key=key, line=line, hint=hint)


def too_wide(key: str, columns: int, most: int, line: int | None = None) -> Unreadable:
    """Say that a file names too many columns; ``line`` is where text names them."""
    message = f"{key} has {columns} columns, at most {most} are read"
    hint = "export the columns model.yaml names"
    return Unreadable("too-many-columns", message, key=key, line=line, hint=hint)


def too_many_fields(key: str, most: int, line: int | None = None) -> Unreadable:
    """Say that the records of a file bring too many different fields; ``line`` brought the last one."""
    message = f"{key} brings more than {most} different fields"
    hint = "write what varies as a value, not as the name of a field"
    return Unreadable("too-many-columns", message, key=key, line=line, hint=hint)


def too_deep(key: str, line: int) -> Unreadable:
    """Say that a record is nested too deeply to be read."""
    message = f"{key} line {line} is nested too deeply"
    return Unreadable("json-depth", message, key=key, line=line, hint="flatten the record")


def not_flat(key: str, column: str, kind: str) -> Unreadable:
    """Say that a column holds structures."""
    message = f"{key} column '{column}' is {kind}: only flat columns are read"
    hint = "flatten the column in the export"
    return Unreadable("unsupported-type", message, key=key, column=column, hint=hint)
