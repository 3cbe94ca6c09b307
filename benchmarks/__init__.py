"""How fast each twin is, and the demo of both."""
