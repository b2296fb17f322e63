"""Benchmarks of the course's own tools, each beside a peer measured in the same run."""
