"""Results: what a row is, where rows live, and what makes them fit and comparable."""
