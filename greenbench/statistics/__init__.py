"""Statistics: intervals, percentiles and tests, as pure functions on arrays."""
