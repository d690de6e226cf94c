"""A load on the local stack while its parts are killed, stopped, hung and cut off, and a count of lost tasks.

Runtimes are simulated, so that the pool is under test and not the models.

settings   the flags of `just chaos`
run        the run: a calm tenth, faults, a calm tenth
faults     the faults, and the choice of the next one
stack      a local stack whose parts faults can hit
relay      a connection to NATS that can be cut
gateway    keep-alive connections to one gateway
load       tasks at a steady rate over several gateways
report     counts, table and plot
"""
