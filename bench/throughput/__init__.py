"""Texts a second, and how long they take, beside the same model without labelbus around it.

settings       the flags of `just bench-throughput`
texts          sentences of mixed lengths, dealt into tasks
model          the tokenizer and the graph, as the other sides use them
in_process     the graph in a process of its own, without any server
triton_client  tritonclient straight to the worker's Triton
infinity       infinity-emb in an environment of its own
sides          what is measured beside each other, and its processes
real           legs with a real model, the sides in turn
simulated      legs with a GPU's law of run times, with passes and without
report         rows, verdicts and tables
plot           the plot
"""
