"""Customers, products and events as data: reading, storing, describing, and what is recommended from them."""
