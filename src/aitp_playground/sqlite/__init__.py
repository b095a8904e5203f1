"""A SQLite database used from an event loop: one thread writes in group commits, a few read, the files are private."""
