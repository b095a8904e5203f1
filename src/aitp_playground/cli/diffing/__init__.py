"""``diff``: where the two sides come from, and how a comparison looks."""
