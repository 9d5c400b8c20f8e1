"""The images as data: reading, storing, describing and spoiling them."""
