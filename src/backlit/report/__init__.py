"""Pages for people: one self-contained HTML file about a model and its pictures.

Needs the extra ``report``. Nothing is loaded before it is used.
"""
