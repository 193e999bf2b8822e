"""One connection of OpenIGTLink: what has come of a message, what is still to be sent."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Iterator

from trocar.io.igtl_wire import Header, Inbox

#: What waits to be sent at most, bytes; a peer that takes it more slowly loses the oldest.
MOST_UNSENT = 64 * 2**20
#: A message that has begun and of which nothing more comes for so long, s: the peer is stuck, or means ill.
STALL_S = 5.0
#: Bytes taken from the socket at once, and how often in one turn: others must have theirs.
CHUNK, CHUNKS = 2**18, 16
#: Sorts of complaints that are remembered, and how often the same is repeated, s.
MOST_COMPLAINTS, REPEAT_S = 64, 1.0


class Peer:
    """The state of one connection. ``queue`` is called under the link's lock; the rest from its thread."""

    def __init__(self, connection: socket.socket, name: str, now_s: float) -> None:
        self.socket, self.name = connection, name
        self._inbox = Inbox()
        self._progress_s = now_s
        self._unsent: deque[bytes] = deque()
        self._first = memoryview(b"")
        self._bytes = 0
        self._dropped = 0
        self._complaints: dict[str, tuple[float, int]] = {}

    @property
    def interest(self) -> int:
        """What the selector should look for."""
        waiting = bool(self._unsent or self._first)
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting else 0)

    def queue(self, data: bytes) -> None:
        """Have a message sent; where too much waits, the oldest that was not begun goes."""
        self._unsent.append(data)
        self._bytes += len(data)
        while self._bytes > MOST_UNSENT and len(self._unsent) > 1:
            self._bytes -= len(self._unsent.popleft())
            self._dropped += 1

    def dropped(self) -> int:
        """How many messages were dropped since this was last asked."""
        count, self._dropped = self._dropped, 0
        return count

    def write(self) -> None:
        """Send what the socket takes."""
        try:
            while self._first or self._unsent:
                if not self._first:
                    data = self._unsent.popleft()
                    self._bytes -= len(data)
                    self._first = memoryview(data)
                self._first = self._first[self.socket.send(self._first) :]
        except BlockingIOError:
            return

    def read(self, now_s: float) -> Iterator[tuple[Header, bytes]]:
        """The messages that are whole by now; raises ``EOFError`` where the peer has closed."""
        for _ in range(CHUNKS):
            try:
                data = self.socket.recv(CHUNK)
            except BlockingIOError:
                return
            if not data:
                raise EOFError
            self._progress_s = now_s
            yield from self._inbox.feed(data)

    def stalled(self, now_s: float) -> bool:
        """Whether a message has begun and nothing more of it comes."""
        return self._inbox.within and now_s - self._progress_s > STALL_S

    def told(self, what: str, now_s: float) -> int:
        """How many of one sort of complaint have gathered, where it is time to say so again; else 0."""
        last_s, count = self._complaints.get(what, (float("-inf"), 0))
        if now_s - last_s >= REPEAT_S:
            self._complaints[what] = (now_s, 0)
        else:
            self._complaints[what] = (last_s, count + 1)
        if len(self._complaints) > MOST_COMPLAINTS:
            del self._complaints[next(iter(self._complaints))]
        return count + 1 if now_s - last_s >= REPEAT_S else 0
