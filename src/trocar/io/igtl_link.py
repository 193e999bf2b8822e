"""One end of OpenIGTLink: its peers, the numbers of what comes and goes, and the thread that attends to all of them."""

from __future__ import annotations

import os
import selectors
import socket
import threading
from functools import partial
from typing import Any

from trocar.guidance.frames import Alarm, AlarmKind, Stamped, ToolPose
from trocar.guidance.live import Clock, Live
from trocar.io.igtl_items import Meaning, items_of, message_of, status_message, string_message, tracking_message
from trocar.io.igtl_peer import Peer
from trocar.io.igtl_wire import Broken, Header, Refused, intact, library, number_in, stamped
from trocar.measure import Severity

#: Device names that are numbered; a peer that invents ever new ones must not fill the memory.
MOST_DEVICES = 256
#: How often the thread looks whether it should end, s.
TURN_S = 0.05


class Link(Live):
    """One end of OpenIGTLink: :mod:`trocar.io.igtl` makes them."""

    def __init__(self, name: str, meaning: Meaning, checksums: bool, clock: Clock | None) -> None:
        super().__init__(name, clock)
        library()  # an absent library is told here and now
        self._meaning, self._checksums = meaning, checksums
        self._peers: list[Peer] = []
        self._owners: dict[str, Peer] = {}
        self._received: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ)

    @property
    def peers(self) -> int:
        """How many are connected."""
        return len(self._peers)

    def send(self, item: Stamped | Alarm | str, device: str | None = None) -> int:
        """Send an item, or a sentence, to every peer; returns to how many. Never waits for a slow one.

        ``device`` is the name under which it goes; without one, the item's source. Raises ``ValueError`` for a name
        or a time that OpenIGTLink has no place for, and ``TypeError`` for an item that has no message.
        """
        if isinstance(item, str):
            return self._post(string_message(item), device or self.name, self._clock(), {})
        message, metadata = message_of(item, self._meaning.axes)
        return self._post(message, device or item.source, item.time_s, metadata)

    def send_tools(self, tools: list[ToolPose], device: str) -> int:
        """Send several tools of one instant in one TDATA message."""
        return self._post(tracking_message(tools, self._meaning.axes), device, tools[0].time_s, {})

    def _post(self, message: Any, device: str, time_s: float, metadata: dict[str, str]) -> int:
        with self._lock:
            number = self._sent.get(device, 0) + 1
            data = stamped(message, device, time_s, number, metadata)
            if device in self._sent or len(self._sent) < MOST_DEVICES:
                self._sent[device] = number
            peers = list(self._peers)
            for peer in peers:
                peer.queue(data)
        self._wake()
        return len(peers)

    def _wake(self) -> None:
        try:
            self._wake_out.send(b"x")
        except OSError:  # closed: nothing is sent any more
            return

    def close(self) -> None:
        """End every connection."""
        self._feeder.stop.set()
        self._wake()
        super().close()
        for end in (self._wake_out, self._wake_in):
            end.close()
        self._selector.close()

    def _receive(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._attend()
                for peer in list(self._peers):
                    self._selector.modify(peer.socket, peer.interest, peer)
                for key, mask in self._selector.select(TURN_S):
                    self._serve(key, mask)
                for peer in [p for p in self._peers if p.stalled(self._clock())]:
                    self._leave(peer, "it stopped in the middle of a message")
        finally:
            for peer in list(self._peers):
                self._selector.unregister(peer.socket)
                peer.socket.close()
            with self._lock:
                self._peers.clear()

    def _attend(self) -> None:
        """What is to be done before each turn."""

    def _serve(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.data is None:
            self._wake_in.recv(4096)
            return
        peer: Peer = key.data
        try:
            if mask & selectors.EVENT_WRITE:
                with self._lock:
                    peer.write()
            if mask & selectors.EVENT_READ:
                for header, body in peer.read(self._clock()):
                    self._take(peer, header, body)
        except Broken as error:
            self._leave(peer, f"it sent what is no OpenIGTLink: {error}")
        except EOFError:
            self._leave(peer, "it closed the connection")
        except OSError as error:
            self._leave(peer, error.strerror or str(error))
        if dropped := peer.dropped():
            text = f"{peer.name} takes messages too slowly: {dropped} were not sent to it."
            self._tell(AlarmKind.LOST, Severity.CAUTION, text)

    def _take(self, peer: Peer, header: Header, body: bytes) -> None:
        """One whole message: its items into the mailbox, or why not."""
        if self._owners.setdefault(header.device, peer) is not peer:
            self._once(
                peer, f"also {header.device}", f"{header.device} comes from two senders: {peer.name} is not used."
            )
            return
        if self._checksums and not intact(header, body):
            self._count(header.device)  # so that its number is missing
            self._once(peer, f"sum {header.device}", f"A message of {header.device} came damaged.", "its checksum")
            return
        time_s = header.time_s if header.time_s > 0.0 else self._clock()
        try:
            for item in items_of(header, body, self._meaning, partial(self._number, header.device), time_s):
                self._mailbox.put(item)
        except Refused as refusal:
            self._once(
                peer, f"{header.kind} {header.device}", f"A message of {header.device} is not used.", str(refusal)
            )
        if len(self._owners) > MOST_DEVICES:
            self._owners.pop(next(iter(self._owners)))

    def _number(self, device: str, message: Any) -> int:
        sent = number_in(message)
        return self._count(device) if sent is None else sent

    def _count(self, device: str) -> int:
        if device not in self._received and len(self._received) >= MOST_DEVICES:
            del self._received[next(iter(self._received))]
        self._received[device] = self._received.get(device, 0) + 1
        return self._received[device]

    def _once(self, peer: Peer, what: str, text: str, because: str = "") -> None:
        """An alarm of the door, not more often than once a second for the same; then with how many it stands for."""
        count = peer.told(what, self._clock())
        if count:
            more = f"; {count} such since the last time" if count > 1 else ""
            self._tell(AlarmKind.UNRELIABLE, Severity.CAUTION, text, f"{because}{more}".lstrip("; "))

    def _join(self, connection: socket.socket, name: str) -> None:
        connection.setblocking(False)
        _keep_alive(connection)
        peer = Peer(connection, name, self._clock())
        # Slicer and PLUS answer in header version 2 (with the state of each tool) only where they were greeted in it
        peer.queue(stamped(status_message("Trocar"), "Trocar", self._clock(), None))
        with self._lock:
            self._peers.append(peer)
        self._selector.register(connection, selectors.EVENT_READ, peer)

    def _leave(self, peer: Peer, why: str) -> None:
        self._selector.unregister(peer.socket)
        peer.socket.close()
        with self._lock:
            self._peers.remove(peer)
        self._owners = {device: owner for device, owner in self._owners.items() if owner is not peer}
        self._left(peer, why)

    def _left(self, peer: Peer, why: str) -> None:
        raise NotImplementedError


def _keep_alive(connection: socket.socket) -> None:
    """Notice within some seconds a peer whose cable was pulled, and send small messages at once."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if os.name == "posix":
        for option, value in (("TCP_KEEPIDLE", 2), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
