"""The proof that both twins take the same steps, and that it can fail."""
