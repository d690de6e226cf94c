"""Workers in simulated time: what they hold, what they run, and how they describe themselves."""

from dispatcher.router import WorkerView


class SimWorker:
    """A worker with `slots` and room for `capacity` labels; the labels are ordered by last use."""

    def __init__(self, worker_id: str, capacity: int, slots: int) -> None:
        self.worker_id = worker_id
        self.capacity = capacity
        self.slots = slots
        self.labels: dict[str, None] = {}
        self.ready_at: dict[str, float] = {}
        self.in_use: dict[str, int] = {}
        self.running = 0
        self.revision = 0
        self.tasks = 0
        self.busy_s = 0.0
        self._names: tuple[str, ...] | None = None

    @property
    def full(self) -> bool:
        """True if every slot is taken."""
        return self.running >= self.slots

    def start(self, now: float, label: str, evict: str, load_s: float) -> tuple[bool, float, str] | None:
        """Take a task: whether it hit, how long until its label is ready, and what was evicted; None when it cannot."""
        if self.running >= self.slots:
            return None
        evicted = ""
        wait_s = 0.0
        hit = label in self.labels
        if hit:
            wait_s = max(0.0, self.ready_at.get(label, 0.0) - now)
            del self.labels[label]
        else:
            if len(self.labels) >= self.capacity:
                evicted = evict if evict in self.labels and not self.in_use.get(evict) else self._oldest()
                if not evicted:
                    return None
                del self.labels[evicted]
                self.ready_at.pop(evicted, None)
            self.ready_at[label] = now + load_s
            wait_s = load_s
            self._names = None
        self.labels[label] = None
        self.in_use[label] = self.in_use.get(label, 0) + 1
        self.running += 1
        self.revision += 1
        self.tasks += 1
        return hit, wait_s, evicted

    def end(self, label: str) -> None:
        """A task is done."""
        self.running -= 1
        self.revision += 1
        self.in_use[label] -= 1

    def _oldest(self) -> str:
        return next((label for label in self.labels if not self.in_use.get(label)), "")

    def view(self, now: float) -> WorkerView:
        """What it says of itself."""
        if self._names is None:
            self._names = tuple(sorted(self.labels))
        names = self._names
        loading: tuple[str, ...] = ()
        if self.slots > 1:
            loading = tuple(label for label in names if self.ready_at.get(label, 0.0) > now)
            if loading:
                names = tuple(label for label in names if label not in loading)
        return WorkerView(
            worker_id=self.worker_id,
            labels=names,
            loading=loading,
            running=self.running,
            slots=self.slots,
            capacity=self.capacity,
            epoch_ms=1,
            revision=self.revision,
        )
