"""The reference model: footage, training, evaluation, and the recipe for a model of your own."""
