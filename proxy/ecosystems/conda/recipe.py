"""Which code made a view of a channel, or judged what was noted for the next one."""

RECIPE = 14
"""See `Ecosystem.recipe`."""
