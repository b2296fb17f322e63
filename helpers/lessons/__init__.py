"""The course itself: the manifest of lessons, the builder, the runner, their records and the report."""
