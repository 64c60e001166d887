"""The seams. Each ABC's docstring is the contract that every driver, fake or real, must keep."""
