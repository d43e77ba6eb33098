"""What a sample allows one to say: intervals, percentiles and tests, as pure functions on arrays."""
