"""Every change we make to moto 5.2.5's internals, one function per service.

Nothing else in this package touches a private name of moto. Each patch has a contract test in
``tests/unit/local`` so that a new moto version fails loudly, not strangely.
"""

from typing import Any, cast

_originals: dict[tuple[Any, str], Any] = {}


def replace(owner: Any, name: str, value: Any) -> Any:
    """Set `owner.name` to `value` and answer what moto itself has there, also when called again.

    Raises AttributeError when moto no longer has that name. `undo` puts every original back, so that
    several stacks can follow each other in one process.
    """
    original = _originals.setdefault((owner, name), getattr(owner, name))
    setattr(owner, name, value)
    return original


def undo() -> None:
    """Give moto back every name that `replace` took."""
    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()
