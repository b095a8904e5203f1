"""What people read: lines, colours, a run told live, what came of it."""
