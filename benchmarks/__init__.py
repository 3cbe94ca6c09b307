"""How fast both twins are, how stable, and how good their samples."""
