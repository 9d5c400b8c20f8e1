"""How an image classifier is tested beyond its accuracy: one subject a file."""
