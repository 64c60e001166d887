"""One chip or library each. Vendor imports live here and nowhere else."""
