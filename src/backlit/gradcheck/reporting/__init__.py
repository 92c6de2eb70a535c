"""Findings as data, in a terminal and on a page."""
