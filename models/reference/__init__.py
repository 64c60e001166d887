"""The reference model: rendered footage, training, quantisation, evaluation."""
