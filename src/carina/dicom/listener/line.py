"""Who waits for what, in memory: digests in the order in which they are due."""

import heapq
import threading
import time


class Line:
    """Digests that wait for their turn. The journal knows them too; this is what threads sleep on."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return len(self._heap)

    def put(self, digest: str, due: float = 0.0) -> None:
        """Let a digest wait until it is due, in seconds since 1970."""
        with self._changed:
            # Of those due at the same time, first come is first served.
            self._count += 1
            heapq.heappush(self._heap, (due, self._count, digest))
            self._changed.notify()

    def take(self, most: int = 1) -> list[str]:
        """Return digests that are due, at least one, waiting for it; none once the line was closed."""
        with self._changed:
            while not self._closed:
                now = time.time()
                if self._heap and self._heap[0][0] <= now:
                    taken: list[str] = []
                    while self._heap and self._heap[0][0] <= now and len(taken) < most:
                        taken.append(heapq.heappop(self._heap)[2])
                    return taken
                # A clock may be set while nobody comes: look again once a minute.
                self._changed.wait(min(60.0, self._heap[0][0] - now) if self._heap else None)
            return []

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
