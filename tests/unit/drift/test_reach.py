"""What of the drift code may be imported where models are trained."""

import importlib


def test_summaries_need_nothing_but_numpy_where_models_are_trained():
    """The training container has neither pydantic nor msgspec nor our layer."""
    allowed = {"driftwheel.drift.baseline", "driftwheel.drift.cells", "driftwheel.drift.column"}
    allowed |= {"driftwheel.drift.summaries", "driftwheel.drift.quality", "driftwheel.drift.joint"}
    allowed |= {"driftwheel.drift.estimate", "driftwheel.drift.tally"}
    for name in sorted(allowed):
        source = importlib.import_module(name).__dict__.values()
        origins = {getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in source}
        ours = {o for o in origins if isinstance(o, str) and o.startswith("driftwheel")}
        assert ours <= allowed, name
        assert not {o for o in origins if isinstance(o, str) and o.split(".")[0] in {"pydantic", "msgspec"}}
