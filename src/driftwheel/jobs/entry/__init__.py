"""Files that stand at the top of the code archive, not inside the package."""
