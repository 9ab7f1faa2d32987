"""AWS in memory, strict and seeded: what the fault campaign runs the product's own code against."""
