"""The recipe: how raw rows become features, declared once and run by the batch engine and by the server."""
