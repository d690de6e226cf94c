"""The cost of a decision of the router, in microseconds, at pools of several sizes.

cost       timed submits and results in a busy pool, and of tasks that wait for nothing
report     the table and the plot
"""
