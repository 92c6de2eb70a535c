"""Files, notebooks and modules as things to call, and the course's notebook, known by its names."""
