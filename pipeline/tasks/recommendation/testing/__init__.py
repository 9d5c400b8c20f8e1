"""How a recommender is tested on unseen weeks: one subject a file."""
