"""DICOM in: what a folder of an archive holds, and each series as a volume that lies where the patient lay."""
