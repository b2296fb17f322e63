"""A lung model for another hospital, of which no mask is read."""
