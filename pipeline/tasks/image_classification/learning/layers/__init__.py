"""What networks are built of: input, activations, initial weights, normalisation; one readable file each."""
