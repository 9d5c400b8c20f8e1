"""Networks and how they are fitted, checked, calibrated and exported."""
