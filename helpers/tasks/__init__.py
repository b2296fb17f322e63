"""The four things that the course trains. Each has the same three rooms: commands, training, inference."""
