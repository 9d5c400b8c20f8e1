"""Lines of the service's log are written by a thread: no request waits for a terminal, a pipe or a disk.

Not the prediction log (serving/prediction_log.py): this is what the process says of itself.
"""

import atexit
import logging
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue

LINES_MAX = 10_000  # that may wait; more are written by whoever logs them, so that none is lost


class LogLines:
    """From here on every handler of every logger is served by a thread. close() writes what waits, and
    lets loggers write for themselves again; at the end of the process it is called where nobody has."""

    def __init__(self) -> None:
        names = [None, *logging.root.manager.loggerDict]
        self._before = {logger: logger.handlers[:] for logger in map(logging.getLogger, names)}
        self._queued = {
            handler: _Queued(handler) for handlers in self._before.values() for handler in handlers
        }
        for logger, handlers in self._before.items():
            logger.handlers[:] = [self._queued[handler] for handler in handlers]
        atexit.register(self.close)

    def close(self) -> None:
        atexit.unregister(self.close)
        for logger, handlers in self._before.items():
            logger.handlers[:] = handlers
        for queued in self._queued.values():
            queued.stop()
        self._before, self._queued = {}, {}


class _Queued(QueueHandler):
    """Stands in for another handler, whose level and filters it has."""

    def __init__(self, handler: logging.Handler) -> None:
        lines: Queue[logging.LogRecord] = Queue(LINES_MAX)
        super().__init__(lines)
        self.setLevel(handler.level)
        self.filters = handler.filters
        self._handler = handler
        self._listener = _Listener(lines, handler)
        self._listener.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except Full:
            self._handler.handle(record)

    def stop(self) -> None:
        self._listener.stop()


class _Listener(QueueListener):
    def enqueue_sentinel(self) -> None:
        assert isinstance(self.queue, Queue)
        self.queue.put(None)  # waits for room, where the standard library's fails
