"""Learning to rank: examples, networks, fitting, export, baselines. The service imports nothing of it."""
