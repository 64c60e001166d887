"""The stand-in model: trained in minutes, honest about it, there until a reference model is."""
