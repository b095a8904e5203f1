"""Following what happens: from a server's stream, from this machine's database, or from a log."""
