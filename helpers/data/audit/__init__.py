"""What would make a score on these folders mislead: overlap, files at fault, missing masks, copies."""
