"""Drift: what the live traffic looks like beside what the model was trained on."""
