"""OpenIGTLink, both ways, as client or server: trackers, PLUS, 3D Slicer, navigation systems.

::

    with connect("192.168.1.5", 18944) as link:
        for thing in checked(link.events(), expected=("NeedleToTracker",)):
            ...
            link.send(alarm, "TrocarAlarm")

Everything that comes is kept, in order, until it is looked at, up to the bounds of
:mod:`trocar.guidance.mailbox`. A message's number is the sender's where it carries one of ours (``TrocarNumber`` in its
meta data); else it is counted here on arrival, and what the sender or the network lost can only be seen by its stamps:
give the source a ``rate_hz`` in its rules. (The message ID of protocol 3 is not taken for a number: what it counts is
the sender's affair.) Time is the sender's stamp; where that is 0, the time of arrival.
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
from collections.abc import Collection
from typing import Any

from trocar.errors import ToolError
from trocar.guidance.frames import AlarmKind, Intensity
from trocar.guidance.live import Clock
from trocar.io.igtl_items import Axes, Meaning
from trocar.io.igtl_link import Link
from trocar.io.igtl_peer import Peer
from trocar.measure import Severity

#: The port that OpenIGTLink's programs agree on.
PORT = 18944
#: Peers at once; more are turned away.
MOST_PEERS = 8
#: How long to wait for a connection, and before the next attempt, s.
CONNECT_S, RETRY_S = 1.0, 0.5


class Client(Link):
    """Connects to a server, again and again; :func:`connect` makes one."""

    def __init__(self, address: tuple[str, int], *rest: Any) -> None:
        super().__init__(*rest)
        self._address, self._next_s, self._complained = address, 0.0, False
        self._feeder.start()

    def _attend(self) -> None:
        if self._peers or self._clock() < self._next_s:
            return
        try:
            connection = socket.create_connection(self._address, timeout=CONNECT_S)
        except OSError as error:
            self._next_s = self._clock() + RETRY_S
            if not self._complained:
                text = f"No connection to {self.name}: trying again."
                self._tell(AlarmKind.SILENT, Severity.STOP, text, error.strerror or str(error))
            self._complained = True
            return
        self._join(connection, self.name)
        if self._complained:
            self._tell(AlarmKind.SILENT, Severity.NOTE, f"{self.name} is connected.", over=True)
        self._complained = False

    def _left(self, peer: Peer, why: str) -> None:
        self._complained, self._next_s = True, self._clock() + RETRY_S
        self._tell(AlarmKind.SILENT, Severity.STOP, f"The connection to {self.name} was lost: trying again.", why)


class Server(Link):
    """Waits for clients; :func:`listen` makes one."""

    def __init__(self, listening: socket.socket, *rest: Any) -> None:
        super().__init__(*rest)
        self._listening = listening
        listening.setblocking(False)
        self._selector.register(listening, selectors.EVENT_READ, self)
        self._feeder.start()

    @property
    def port(self) -> int:
        """The port that is listened to."""
        return int(self._listening.getsockname()[1])

    def _serve(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.data is not self:
            super()._serve(key, mask)
            return
        try:
            connection, address = self._listening.accept()
        except OSError:  # it went away between the knock and the door
            return
        name = f"{address[0]}:{address[1]}"
        if len(self._peers) >= MOST_PEERS:
            connection.close()
            text = f"{name} was turned away: {MOST_PEERS} are connected already."
            self._tell(AlarmKind.UNRELIABLE, Severity.CAUTION, text)
            return
        self._join(connection, name)

    def _left(self, peer: Peer, why: str) -> None:
        self._tell(AlarmKind.SILENT, Severity.CAUTION, f"{peer.name} is no longer connected.", why)

    def close(self) -> None:
        """End every connection, and listen no more."""
        super().close()
        self._listening.close()


def connect(
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    axes: Axes = Axes.RAS,
    intensity: Intensity = Intensity.DISPLAYED,
    slabs: Collection[str] = (),
    checksums: bool = True,
    clock: Clock | None = None,
) -> Client:
    """A client of a server at ``host``: connects, and connects again whenever the connection is lost.

    ``axes`` are the peer's; ``intensity`` is what its images' numbers mean; ``slabs`` names the devices whose images
    are slices of a CT. ``checksums`` False believes what comes unchecked: some senders make no checksums.
    """
    meaning = Meaning(axes, intensity, frozenset(slabs))
    return Client((host, port), f"{host}:{port}", meaning, checksums, clock)


def listen(
    port: int = PORT,
    host: str = "127.0.0.1",
    *,
    anybody: bool = False,
    axes: Axes = Axes.RAS,
    intensity: Intensity = Intensity.DISPLAYED,
    slabs: Collection[str] = (),
    checksums: bool = True,
    clock: Clock | None = None,
) -> Server:
    """A server, for this computer only unless ``anybody`` on the network may connect: OpenIGTLink knows no password.

    ``port`` 0 takes a free one. Raises ``ValueError`` for a ``host`` beyond this computer without ``anybody``, and
    :class:`ToolError` where the port cannot be had.
    """
    if not anybody and not _is_here(host):
        raise ValueError(f"host={host!r} lets other computers in: say anybody=True if they may connect, unchecked.")
    try:
        listening = socket.create_server((host, port), backlog=MOST_PEERS, family=_family(host), reuse_port=False)
    except OSError as error:
        raise ToolError(
            f"port {port} on {host} cannot be listened to ({error.strerror or error}): name another."
        ) from None
    meaning = Meaning(axes, intensity, frozenset(slabs))
    return Server(listening, f"port {listening.getsockname()[1]}", meaning, checksums, clock)


def _is_here(host: str) -> bool:
    """Whether an address is that of this computer itself, which no other can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: it may lead anywhere, but for this one
        return host == "localhost"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
