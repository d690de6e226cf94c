"""Workers in simulated time: the production worker's cache, and a model of its service.

A worker takes `slots` tasks and `window` more. With `overlap` a load takes no slot, as in the production worker: a task
waits for its label to be loaded, then for a slot. Without it a task takes a slot and loads its label there.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from dispatcher.router import WorkerView
from worker.cache import Full, Hit, Join, LabelCache, Load, State

Call = Callable[[float], None]
Schedule = Callable[[float, Call], None]


class Job:
    """A task on a worker; times are seconds. `done` is called at its end, with `hit`, `waited_s` and `evicted` set.

    `waited_s` is the time that the task waited for its label to be loaded.
    """

    __slots__ = ("done", "evict", "evicted", "hit", "label", "lease", "load_s", "loads", "run_s", "taken", "waited_s")

    def __init__(
        self, label: str, run_s: float, load_s: float, evict: str, done: "Callable[[float, Job], None]"
    ) -> None:
        self.label = label
        self.run_s = run_s
        self.load_s = load_s
        self.evict = evict
        self.done = done
        self.hit = self.loads = False
        self.evicted = ""
        self.lease = 0
        self.taken = self.waited_s = 0.0


class SimWorker:
    """One worker. `at` schedules a call; `changed` is called after each change.

    The last argument of `changed` is True if a label or a free slot came.
    """

    def __init__(
        self,
        worker_id: str,
        *,
        capacity: int,
        slots: int,
        window: int,
        overlap: bool,
        at: Schedule,
        changed: "Callable[[float, SimWorker, bool], None]",
    ) -> None:
        self.worker_id: Final = worker_id
        self.slots: Final = slots
        self.cache: Final = LabelCache(capacity)
        self.running = 0
        """Tasks taken and not answered."""
        self.tasks = self.loads = 0
        """Tasks done, and loads begun."""
        self._window = window
        self._overlap = overlap
        self._at = at
        self._changed = changed
        self._revision = 0
        self._busy = 0
        self._for_slot: deque[Job] = deque()
        self._for_load: dict[str, list[Job]] = {}
        self._for_room: deque[Job] = deque()

    def warm(self, labels: Iterable[tuple[str, float]]) -> None:
        """Load these labels at the start; each is given with the time of its load."""
        for label, load_s in labels:
            loading = self.cache.acquire(0.0, label)
            assert isinstance(loading, Load)
            self.cache.loaded(0.0, label, load_s * 1e3)
            self.cache.release(label, loading.lease)

    @property
    def full(self) -> bool:
        """True if every slot is taken."""
        return self.running >= self.slots

    def holds(self, label: str) -> bool:
        """Return whether the label is loaded or being loaded."""
        held = self.cache.held(label)
        return held is not None and held.state is not State.UNLOADING

    def take(self, now: float, job: Job) -> bool:
        """Take a task; return False if slots and window are full."""
        if self.running >= self.slots + self._window:
            return False
        self.running += 1
        self._revision += 1
        job.taken = now
        if self._overlap:
            self._acquire(now, job)
        else:
            self._for_slot.append(job)
            self._fill_slots(now)
        self._changed(now, self, False)
        return True

    def view(self) -> WorkerView:
        """Return the state that the worker tells dispatchers."""
        return WorkerView(
            worker_id=self.worker_id,
            labels=self.cache.labels(State.READY),
            loading=self.cache.labels(State.LOADING),
            running=self.running,
            slots=self.slots,
            window=self._window if self._overlap else 0,
            capacity=self.cache.capacity,
            epoch_ms=1,
            revision=self._revision,
        )

    def _fill_slots(self, now: float) -> None:
        while self._for_slot and self._busy < self.slots:
            self._busy += 1
            job = self._for_slot.popleft()
            if self._overlap:
                self._run(now, job)
            else:
                self._acquire(now, job)

    def _acquire(self, now: float, job: Job) -> None:
        match self.cache.acquire(now, job.label, evict_hint=job.evict):
            case Hit(lease):
                job.lease = lease
                job.hit = not job.loads
                self._ready(now, job)
            case Join(lease):
                job.lease = lease
                self._for_load[job.label].append(job)
            case Load(evict, lease):
                job.lease = lease
                job.loads = True
                job.evicted = evict or ""
                if evict is not None:
                    self.cache.unloaded(evict, job.label)
                    self._revision += 1
                self.loads += 1
                self._revision += 1
                self._for_load[job.label] = [job]
                self._at(now + job.load_s, lambda now: self._loaded(now, job))
                self._changed(now, self, True)
            case Full():
                self._for_room.append(job)

    def _loaded(self, now: float, job: Job) -> None:
        self.cache.loaded(now, job.label, job.load_s * 1e3)
        self._revision += 1
        for waiting in self._for_load.pop(job.label):
            waiting.waited_s = now - waiting.taken
            self._ready(now, waiting)
        self._room(now)
        self._changed(now, self, True)

    def _ready(self, now: float, job: Job) -> None:
        if self._overlap:
            self._for_slot.append(job)
            self._fill_slots(now)
        else:
            self._run(now, job)

    def _run(self, now: float, job: Job) -> None:
        self._at(now + job.run_s, lambda now: self._end(now, job))

    def _end(self, now: float, job: Job) -> None:
        was_full = self.full
        self.cache.release(job.label, job.lease)
        self._busy -= 1
        self.running -= 1
        self._revision += 1
        self.tasks += 1
        self._room(now)
        self._fill_slots(now)
        job.done(now, job)
        self._changed(now, self, was_full)

    def _room(self, now: float) -> None:
        """Try again for tasks that found no label to evict."""
        for _ in range(len(self._for_room)):
            self._acquire(now, self._for_room.popleft())
