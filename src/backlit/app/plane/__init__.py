"""A small network on points in the plane, step by step, with every number."""
