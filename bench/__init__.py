"""Benchmarks, a package each, and what they share.

live       the published benchmark on the real stack, and traffic like yours (`just bench`)
path       the cost of a task's path from HTTP to a worker and back, beside a bare gateway (`just bench-path`)
peers      labelbus beside Ray Serve's model multiplexing (`just bench-peers`)
router     the cost of a decision of the router (`just bench-router`)
sim        a simulation of a pool under the router and other policies (`just bench-sim`)
chaos      a load on a stack whose parts are killed, stopped, hung and cut off (`just chaos`)
history    key figures of recorded runs, and their plots (`just bench-history`)
profile    a CPU profile of the dispatcher under load (`just profile`)
"""
