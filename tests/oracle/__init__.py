"""What must hold after every fault, load and loop test: the campaign's invariants I1 to I12."""
