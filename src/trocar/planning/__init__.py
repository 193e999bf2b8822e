"""Where the needle goes: instruments, approaches, the search, the mark on the skin. Floor 3."""
