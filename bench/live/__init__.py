"""The published benchmark on the real stack, and traffic like yours.

settings     the flags of `just bench`
arrivals     the requests of a run, drawn before it
producers    clients that send the requests
measure      one run of one policy on a stack of its own
worker_log   the workers' log, as the log sink wrote it
bounds       the least possible number of label misses
summary      the figures of a run
report       the published summary, the table and the plot
"""
