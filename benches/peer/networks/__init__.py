"""Skeleton encoders in plain PyTorch, activations `[n, C, T, V]` of n = B * M persons, parameters under their official names."""
