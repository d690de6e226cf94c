"""labelbus: sends each task to a worker that already holds its label."""
