"""Reading what exists: catalogues of scans, volumes, phantoms, splits and the slice store. No TensorFlow here."""
