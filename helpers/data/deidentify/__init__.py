"""Names leave a folder of DICOM files: PS3.15 Annex E, with dates shifted and descriptions cleaned word by word."""
