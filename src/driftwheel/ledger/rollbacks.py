"""Rollbacks as decisions: told by the champions' history alone, so that none stays unwritten."""

from driftwheel.ledger.champions import ChampionRow, Champions
from driftwheel.ledger.decisions import Decision, Decisions


def rollback_decision(back: ChampionRow, before: ChampionRow) -> Decision:
    """Word the decision that brought ``back`` in the place of ``before``; the same one each time."""
    return Decision(
        model=back.model,
        at=back.promoted_at,
        id=f"rollback-{back.sequence}",
        step="rollback",
        outcome="rolled_back",
        reason=back.reason,
        numbers={
            "from_run": before.run_id,
            "from_sequence": before.sequence,
            "to_run": back.run_id,
            "sequence": back.sequence,
        },
        run_id=back.run_id,
    )


def record_rollback(model: str, champions: Champions, decisions: Decisions) -> bool:
    """Write down the rollback that a model's champion came by, if it did and nobody has.

    Who moves the pointer may end before the decision is written. A run makes one champion: one that stands
    in the history twice was brought back. Whoever makes the next champion asks for this first.
    """
    history = champions.history(model)
    if not history or history[0].run_id not in {row.run_id for row in history[1:]}:
        return False
    return decisions.record(rollback_decision(*history[:2]))
