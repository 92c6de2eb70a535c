"""The features once more, compiled: for archives, where seconds of compiling pay."""
