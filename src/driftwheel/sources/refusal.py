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
