"""The gate: is there tumour in this slice?"""
