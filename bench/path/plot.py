"""The plot of the benchmark of the path."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from bench.path.report import Row

mpl.use("svg")  # files only: no window is opened, and no display is needed


def plot_path(rows: Sequence[Row], file: Path) -> None:
    """Write an SVG of the rate, the latencies and the CPU time of the gateway over connections, both sides."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    rate, latency, cpu = figure.subplots(1, 3)
    for side, colour in (("bare", "#888888"), ("labelbus", "#0066aa")):
        of_side = [row for row in rows if row.side == side]
        at = [str(row.connections) for row in of_side]
        low = [row.rate - row.rate_least for row in of_side]
        high = [row.rate_most - row.rate for row in of_side]
        rate.errorbar(at, [row.rate for row in of_side], [low, high], color=colour, marker="o", capsize=3, label=side)
        latency.plot(at, [row.p50_ms for row in of_side], color=colour, marker="o", label=f"{side} p50")
        latency.plot(at, [row.p99_ms for row in of_side], color=colour, marker="o", ls=":", label=f"{side} p99")
        cpu.plot(at, [row.cpu_us.get("gateway", 0.0) for row in of_side], color=colour, marker="o", label=side)
    latency.set_yscale("log")
    for axes, title in ((rate, "requests a second"), (latency, "ms"), (cpu, "CPU µs a request, gateway")):
        axes.set_title(title)
        axes.set_xlabel("connections")
        axes.legend()
        axes.grid(alpha=0.3)
    for axes in (rate, cpu):
        axes.set_ylim(bottom=0)
    figure.savefig(file)
