"""A command as a process: its settings, its signals, how it starts quickly and ends with whoever started it."""
