"""What each step does, one module per step: domain decisions joined to AWS through clients given to it."""
