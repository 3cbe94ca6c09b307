"""What a user gave and can put right."""


class InputError(ValueError):
    """A bad value from a user: one line that names it and the fix."""
