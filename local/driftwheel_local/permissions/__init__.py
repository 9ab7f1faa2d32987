"""Identity policies as IAM evaluates them: what a role may do, and what a request asks for."""
