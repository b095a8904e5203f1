"""Where runs are kept: the port (:mod:`.port`) and SQLite behind it (:mod:`.sqlite`)."""
