"""The circuits that several processes have for one endpoint, told of as one: open while any is."""

from __future__ import annotations

from llmx.events import CircuitClosed, CircuitOpened, CircuitProbing, EndpointEnded, Event

__all__ = ["Circuits"]


class Circuits:
    """Which of the workers' events about circuits are news."""

    def __init__(self) -> None:
        self._open: dict[str, list[int]] = {}
        self._ended: set[str] = set()

    def is_news(self, worker: int, event: Event) -> bool:
        """Whether to tell of an event; of all others than those of circuits, yes."""
        match event:
            case CircuitOpened():
                return self._opened(worker, event.endpoint)
            case CircuitProbing():
                return self._open.get(event.endpoint, [worker])[:1] == [worker]
            case CircuitClosed():
                return self._closed(worker, event.endpoint)
            case EndpointEnded():
                known = event.endpoint in self._ended
                self._ended.add(event.endpoint)
                return not known
        return True

    def _opened(self, worker: int, endpoint: str) -> bool:
        """The first whose circuit opens speaks for all, until it closes."""
        open_ = self._open.setdefault(endpoint, [])
        if worker not in open_:
            open_.append(worker)
        return open_[0] == worker

    def _closed(self, worker: int, endpoint: str) -> bool:
        open_ = self._open.setdefault(endpoint, [])
        if worker in open_:
            open_.remove(worker)
        return not open_
