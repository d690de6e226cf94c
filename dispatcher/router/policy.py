"""Settings of the router in groups, with the values that paid in the simulator (docs/performance.md)."""

from typing import Literal

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what one router keeps."""

    max_waiting: int = 50_000
    """Tasks that may wait, all labels together."""
    max_waiting_per_label: int = 20_000
    """Tasks that may wait for one label."""
    max_labels: int = 100_000
    """Labels remembered; beyond, the least recently used ones are forgotten."""


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of how often one task is tried."""

    max_attempts: int = 3
    """Runs of a task that fails retryably, lost ones counted."""
    max_worker_losses: int = 2
    """Times that a task may be lost, with its worker or on the way, before it is rejected."""
    other_worker_s: float = 2.0
    """A task that was lost with a worker waits this long for another one, if there is one, before it goes anywhere."""
    max_bounces: int = 1000
    """BUSY answers to one task after which it is rejected, if it has also waited …"""
    max_bounced_s: float = 60.0
    """… this long: in a full pool with several dispatchers a task meets busy workers many times."""


class QuarantineRules(msgspec.Struct, frozen=True, kw_only=True):
    """Pace of the tasks that were lost together with one worker."""

    within_s: float = 2.0
    """All of them are released within this time, one after the other …"""
    check_every_s: float = 0.01
    """… each this soon after the one before has ended."""


class Estimates(msgspec.Struct, frozen=True, kw_only=True):
    """Memory and priors of what is measured."""

    rate_tau_s: float = 30.0
    """Time constant of the arrival rates."""
    rate_floor_s: float = 2.0
    """A router younger than this trusts no rate to be higher than what would be seen in this time."""
    load_alpha: float = 0.3
    """Weight of a new load time."""
    run_alpha: float = 0.1
    """Weight of a new run time."""
    prior_load_s: float = 1.0
    """Load time before any was measured."""
    prior_run_s: float = 0.05
    """Run time before any was measured."""


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the cost model, which has no weights: see dispatcher/router/scheduling/cost.py."""

    sample: int = 8
    """Free workers looked at for one load."""
    surge_loads: float = 0.25
    """A queue that grew within about this many load times counts as a surge in arrivals."""
    ahead_below_s: float = 0.01
    """Hits follow each other without waiting for the answer where tasks run shorter than this and queues are long."""


class Aging(msgspec.Struct, frozen=True, kw_only=True):
    """Limits to how long a label waits for its load while hits go first (against starvation)."""

    limit_loads: float = 4.0
    """A label waits for its load no longer than this many of its load times plus …"""
    limit_drains: float = 4.0
    """… this many times what it takes the pool to load each waiting label and run each waiting task once."""
    share: float = 0.1
    """Share of the workers that may be loading for such tasks at one time."""


class ContentionRules(msgspec.Struct, frozen=True, kw_only=True):
    """Behaviour where other dispatchers use the same workers."""

    time_slice_s: float = 0.25
    """A worker that one dispatcher kept busy for this long is left to the others …"""
    yield_s: float = 0.002
    """… for this long: more than a message takes there and back."""
    load_delay_s: float = 0.001
    """A load waits one to two of this: tasks that run there without a load come first."""
    others_for_s: float = 60.0
    """Other dispatchers are assumed present for this long after a trace of one was seen."""
    retry_s: float = 0.02
    """A worker believed busy with other dispatchers' tasks is tried again after this, doubled each time …"""
    retry_max_s: float = 1.0
    """… up to this."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Pauses of workers that fail."""

    pause_s: float = 0.25
    """A worker that failed retryably is paused this long, doubled each time …"""
    pause_max_s: float = 8.0
    """… up to this."""
    broken_bounces: int = 5
    """A worker that answered BUSY this often in a row while it said that it had a free slot is broken, if that …"""
    broken_after_s: float = 1.0
    """… went on for at least this long: a state that crosses a task on the way is no contradiction."""
    broken_pause_s: float = 5.0
    """A broken worker is given one task again after this, doubled each time …"""
    broken_pause_max_s: float = 60.0
    """… up to this."""


class RouterPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a router. The defaults need no tuning for a pool of models; tests and benchmarks change them."""

    mode: Literal["affinity", "random"] = "affinity"
    """`random` leaves the choice of the worker to the queue group, as a plain task queue does."""
    limits: Limits = Limits()
    retries: Retries = Retries()
    quarantine: QuarantineRules = QuarantineRules()
    estimates: Estimates = Estimates()
    costs: Costs = Costs()
    aging: Aging = Aging()
    contention: ContentionRules = ContentionRules()
    health: Health = Health()
