"""The audit of data folders: overlap between them (leakage), unusable files, missing masks, copies."""
