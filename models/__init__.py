"""Models: recipes (footage, network, train, quantise, evaluate) and the bundles that they made."""
