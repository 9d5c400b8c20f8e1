"""What `evaluate` tests of a recommender: one file a subject."""
