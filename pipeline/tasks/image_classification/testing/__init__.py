"""What `evaluate` tests of an image classifier: one file a subject, each with `measure(...) -> Part`."""
