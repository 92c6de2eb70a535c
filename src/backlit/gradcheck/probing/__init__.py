"""Calls of the user's functions: copies, axes, and the numeric truth at a point."""
