"""When a run may start: one policy, and what it looks at."""
