"""How fast the course's own tools are, beside a peer in the same run."""
