"""Why something was set aside, in words a person can act on."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Where it is wrong, what is wrong, and what to do.

    No pydantic model: Spark's jobs refuse files too, and their image is not promised to have it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    code: str
    message: str
    key: str | None = None
    column: str | None = None
    line: int | None = None
    hint: str | None = None

    def facts(self) -> dict[str, Any]:
        """Give what is known of it, as plain JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}
