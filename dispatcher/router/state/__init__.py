"""State of one router: labels, workers, what is assigned to whom, and what was measured."""
