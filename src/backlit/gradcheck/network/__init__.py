"""The functions of the course's notebook: found by name, checked one by one, then as a whole."""
