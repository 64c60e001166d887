"""`make bench`: speed and size of the real programs on this machine, as ratios where it can be."""
