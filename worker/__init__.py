"""The worker: holds a limited set of labels, takes tasks from the bus, runs them and answers."""
