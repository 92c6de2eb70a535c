"""One check from the first call to the report: `running` is its top, `work` what it knows."""
