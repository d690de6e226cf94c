"""Workers come, speak, rest and go: what each of that means for the tasks."""

from dispatcher.router.books import Books
from dispatcher.router.labels import Label, Pending
from dispatcher.router.lineup import LineUp
from dispatcher.router.matching import Matcher
from dispatcher.router.messages import WorkerView
from dispatcher.router.sharing import Sharing
from dispatcher.router.spread import Spread
from dispatcher.router.tasks import Tasks
from dispatcher.router.views import apply_view, changes_nothing, is_news
from dispatcher.router.workers import Assignment, Worker


class Fleet:
    """Keeps what is known of the workers up to date, and gives them work when that changes."""

    def __init__(self, books: Books, tasks: Tasks, queue: Matcher | Spread) -> None:
        self._books = books
        self._policy = books.policy
        self._tasks = tasks
        self._queue = queue
        self._sharing = Sharing(books)
        self._line_up = LineUp(books.tasks, within_s=self._policy.line_up_s, look_s=self._policy.line_up_look_s)

    @property
    def held_back(self) -> int:
        """Tasks that were lost together, and wait until it is their turn."""
        return len(self._line_up.held())

    def seen(self, now: float, view: WorkerView) -> None:
        """A worker says how it is; it may be a new one, or a new process under the name of one that ended."""
        books = self._books
        worker = books.pool.find(view.worker_id)
        if worker is None:
            worker = Worker(view.worker_id, view)
            books.pool.add(worker)
        elif not is_news(worker, view):
            return
        restarted = worker.epoch_ms >= 0 and view.epoch_ms > worker.epoch_ms
        # A new process under the same name has none of the old one's tasks.
        orphans = list(worker.own) if restarted else []
        tasks = [
            task for assignment_id in orphans if (task := self._tasks.lose(assignment_id, worker.worker_id)) is not None
        ]
        lost = self._update(now, worker, view)
        self._go_on(now, self._line_up.hold(now, tasks))
        self._use(now, worker)
        self.offer(now, lost)
        if not books.pool.live:
            self._tasks.flush(now)

    def answered(self, now: float, worker: Worker | None, view: WorkerView | None) -> None:
        """After an answer: the view that came with it, and the slot that is free again."""
        if worker is None:
            if view is not None:
                self.seen(now, view)
            elif isinstance(self._queue, Spread):
                self._queue.serve(now)
        elif view is not None and changes_nothing(worker, view):
            self._books.share.moved(view.revision - worker.revision)
            worker.revision = view.revision
            worker.view = view
            self._use(now, worker)
        elif view is not None and view.worker_id == worker.worker_id and is_news(worker, view):
            self.seen(now, view)
        elif self._books.pool.find(worker.worker_id) is worker:
            self._use(now, worker)
        elif isinstance(self._queue, Spread):
            self._queue.serve(now)

    def bounced(self, now: float, assignment: Assignment, worker: Worker, view: WorkerView | None) -> None:
        """The worker was busy with others' tasks: what it was to load and to give up for this one stays as it was."""
        books = self._books
        task = assignment.task
        lost: list[Label] = []
        if assignment.loads:
            books.drop(worker, assignment.label)
            lost.append(assignment.label)
            if assignment.evicted is not None and len(worker.labels) < worker.capacity:
                books.hold(worker, assignment.evicted)
        if view is not None and is_news(worker, view):
            if view.epoch_ms > worker.epoch_ms:
                self.seen(now, view)
            else:
                lost += self._update(now, worker, view)
        self._sharing.turned_away(now, worker)
        if not task.cancelled:
            self._tasks.bounced(now, task)
        self.offer(now, lost)
        if not books.pool.live:
            self._tasks.flush(now)

    def gone(self, now: float, worker: Worker, *, bounced: int | None = None) -> None:
        """The worker is dead; if `bounced`, nobody was there for that assignment, nor for what was sent after it.

        That is no loss of theirs. Unless they may not be run twice: a new process of that name may have taken them.
        """
        books = self._books
        labels = list(worker.labels)
        tasks, suspects = [], []
        for assignment_id, assignment in list(worker.own.items()):
            if bounced is not None and assignment_id > bounced and assignment.task.spec.retry:
                books.take_back(assignment_id)
                if not assignment.task.cancelled:
                    tasks.append(assignment.task)
            elif (task := self._tasks.lose(assignment_id, worker.worker_id)) is not None:
                suspects.append(task)
        books.detach(worker)
        books.pool.remove(worker)
        self._sort_anew(now)
        for task in tasks:
            self._tasks.wait(now, task)
        self._go_on(now, self._line_up.hold(now, suspects))
        self.offer(now, labels)
        if not books.pool.live:
            self._tasks.flush(now)

    def pause(self, now: float, worker: Worker) -> None:
        """A worker that fails fast would attract all the work: let it rest."""
        policy = self._policy
        worker.pause_s = min(max(worker.pause_s * 2, policy.pause_s), policy.pause_max_s)
        if worker.usable:
            worker.paused = True
            worker.yielding = False
            labels = list(worker.labels)
            self._books.detach(worker)
            self.offer(now, labels)
        if worker.paused:
            worker.look_at = now + worker.pause_s
            self._books.timers.set(worker.look_at, worker)

    def look(self, now: float, worker: Worker) -> None:
        """A rest, or a time in which others were left alone with the worker, is over."""
        worker.look_at = 0.0
        worker.yielding = False
        if self._books.pool.find(worker.worker_id) is not worker:
            return
        if worker.paused:
            worker.paused = False
            if worker.usable:
                self._books.attach(worker)
        elif worker.foreign:
            self._sharing.believe(worker, 0)
        self._use(now, worker, news=False)

    def call_up(self, now: float) -> None:
        """The time to look at tasks that were lost together has come."""
        self._go_on(now, self._line_up.due(now))

    def offer(self, now: float, labels: list[Label]) -> None:
        """Each of the labels lost a holder: somebody else may have to load it."""
        if isinstance(self._queue, Matcher):
            for label in labels:
                if label.count:
                    self._queue.offer(now, label)

    def _go_on(self, now: float, tasks: list[Pending]) -> None:
        """These may go on; others that were lost with them wait until it is their turn."""
        for task in tasks:
            self._tasks.wait(now, task)
        if self._line_up.look_at:
            self._books.timers.set(self._line_up.look_at, self._line_up)

    def _update(self, now: float, worker: Worker, view: WorkerView) -> list[Label]:
        if view.epoch_ms == worker.epoch_ms:
            self._books.share.moved(view.revision - worker.revision)
        worker.epoch_ms = view.epoch_ms
        worker.revision = view.revision
        pool = self._books.pool
        lost = apply_view(self._books, now, worker, view)
        pool.recount(worker)
        if view.task_types is not None:
            pool.set_types(worker, frozenset(view.task_types))
        self._sort_anew(now)
        return lost

    def _sort_anew(self, now: float) -> None:
        pool = self._books.pool
        if pool.mix_changed:
            pool.mix_changed = False
            self._tasks.sort_anew(now)

    def _use(self, now: float, worker: Worker, *, news: bool = True) -> None:
        """Give the worker what there is for it."""
        queue = self._queue
        if isinstance(queue, Spread):
            queue.serve(now)
            return
        if worker.room <= 0 and worker.load_room <= 0:
            self._books.pool.set_busy(worker)
            if worker.foreign and worker.usable:
                self._sharing.full(now, worker)
            return
        if now < self._books.others_until:
            if self._sharing.is_turn_over(now, worker):
                self._sharing.give_turn(now, worker)
                return
            if news:
                self._sharing.hold_loads_back(now, worker)
        queue.serve(now, worker)
        if worker.load_room > 0:
            self._sharing.look_for_load(now, worker)
        if worker.room > 0:
            worker.turn_at = now
