"""labelbus beside Ray Serve's model multiplexing: the same requests over HTTP, in turn.

settings        the flags of `just bench-peers`
sides           the servers that are compared, each started with nothing loaded and stopped again
ray_client      the client of the Ray Serve application, with the calls of labelbus' client
ray_process     the Ray Serve application as a process in an environment of its own
ray_app         that application; runs where Ray is installed, which labelbus is not
measure         the rounds, in each of which every side gets the same requests
summary         the figures of each side and round, their medians, and the verdict
report          the table and the plot
requirements    the pins of that environment, in .in and .txt
"""
