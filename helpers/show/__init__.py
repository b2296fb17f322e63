"""Pictures of scans and scores, in one style."""
