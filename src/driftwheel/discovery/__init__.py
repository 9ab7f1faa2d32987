"""A first look at unknown data: what its columns are, what is odd about them, and a first ``model.yaml``."""
