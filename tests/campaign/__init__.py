"""`make campaign`: the whole fault campaign in one bounded run, and the table it writes."""
