"""What OpenIGTLink messages mean: positions, images, sentences, points; and the way from RAS to LPS and back.

3D Slicer and most of the OpenIGTLink world count right-anterior-superior; Trocar counts left-posterior-superior. A
transform is turned on both of its sides, as Slicer does when it writes one to a file: ``LPS = F RAS F`` with
``F = diag(-1, -1, 1, 1)``. So a tool's own coordinates turn too: what Slicer calls (x, y, z) on the tool is
(-x, -y, z) here. An IMAGE says itself in which of the two it counts.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.geometry import Pose
from trocar.guidance.frames import Alarm, Frame, Intensity, Note, Points, Slab, Stamped, ToolPose
from trocar.io.igtl_wire import Header, Refused, library, raw_message, unpacked
from trocar.volume import Volume, canonical

#: LPS from RAS and RAS from LPS.
FLIP = np.diag((-1.0, -1.0, 1.0, 1.0))
#: How far from a rotation (largest entry of R^T R - 1) a matrix of float32 may be and still be taken for one, by its
#: nearest; beyond, it scales or shears and is no position.
RIGID_TOLERANCE = 1e-3
#: One tool in a TDATA message: name, type, reserved, twelve numbers.
TOOL = struct.Struct(">20sBB12f")
STATUS = struct.Struct(">Hq20s")
STATUS_OK = 1
#: What PLUS and Slicer call a tool that is seen, in meta data whose key ends in "Status".
SEEN = frozenset({"OK", "TOOL_OK"})
INTENSITY_KEY = "TrocarIntensity"


class Axes(Enum):
    """In which axes a peer counts."""

    RAS = "right, anterior, superior"
    LPS = "left, posterior, superior"


@dataclass(frozen=True)
class Meaning:
    """What messages do not say of themselves: their axes, the images' intensity, which devices send CT slices."""

    axes: Axes = Axes.RAS
    intensity: Intensity = Intensity.DISPLAYED
    slabs: frozenset[str] = field(default_factory=frozenset)


def items_of(
    header: Header, body: bytes, meaning: Meaning, numbered: Callable[[Any], int], time_s: float
) -> Iterator[Stamped]:
    """The items in a message, under the number that ``numbered`` gives it; raises :class:`Refused`."""
    reader = READERS.get(header.kind)
    if reader is None:
        raise Refused(f"{header.kind} from {header.device} is a kind of message that is not understood")
    make, read = reader
    message = unpacked(header, body, make())
    status = _status(message)
    if status not in SEEN:
        raise Refused(f"{header.device} is not seen by its tracker ({status})")
    try:
        yield from read(message, meaning, (numbered(message), time_s, header.device))
    except (ValueError, IndexError, struct.error) as error:
        raise Refused(f"{header.kind} from {header.device}: {error}") from error


Stamp = tuple[int, float, str]


def _status(message: Any) -> str:
    return next((value for key, value in message.metadata.items() if key.lower().endswith("status")), "OK")


def _transform(message: Any, meaning: Meaning, stamp: Stamp) -> Iterator[Stamped]:
    yield ToolPose(*stamp, stamp[2], pose_of(message.matrix, meaning.axes))


def _tracking(message: Any, meaning: Meaning, stamp: Stamp) -> Iterator[Stamped]:
    if not message.content or len(message.content) % TOOL.size:
        raise ValueError(f"{len(message.content)} bytes are no whole number of tools of {TOOL.size}")
    for name, _, _, *numbers in TOOL.iter_unpack(message.content):
        matrix = np.vstack((np.reshape(numbers, (4, 3)).T, (0, 0, 0, 1)))
        tool = name.split(b"\0")[0].decode("ascii", errors="replace")
        yield ToolPose(*stamp, "".join(c if c.isprintable() else "?" for c in tool), pose_of(matrix, meaning.axes))


def _image(message: Any, meaning: Meaning, stamp: Stamp) -> Iterator[Stamped]:
    image = message.image
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if stamp[2] in meaning.slabs:
        yield Slab(*stamp, _placed(image, message))
        return
    name = message.metadata.get(INTENSITY_KEY, "")
    intensity = Intensity[name] if name in Intensity.__members__ else meaning.intensity
    yield Frame(*stamp, _flat(image), None, intensity)


def _placed(image: NDArray[Any], message: Any) -> Volume:
    affine = np.asarray(message.ijk_to_world_matrix, dtype=np.float64)
    affine = FLIP @ affine if message.world_coordinate_system == "ras" else affine
    if image.ndim != 3 or not np.all(np.isfinite(affine)) or not np.all(np.abs(affine[:3, :3]).sum(axis=0)):
        raise ValueError("a CT image that is not placed in space")
    array, affine = canonical(image, affine)
    return Volume(array, affine)


def _flat(image: NDArray[Any]) -> NDArray[Any]:
    """One image ``[row, column]`` of a message's; colours are averaged, types that a frame has not become float32.

    pyigtl sends an image of two axes with its rows as slices, hence the last axis of length one.
    """
    if image.ndim == 4:
        image = np.round(image.mean(axis=3)).astype(image.dtype)
    image = image[0] if image.shape[0] == 1 else image[:, :, 0] if image.shape[2] == 1 else image
    if image.ndim != 2 or 0 in image.shape:
        raise ValueError(f"{image.shape[0]} slices where one image is expected; a CT's device is named in slabs")
    return image if image.dtype.name in ("uint8", "uint16", "float32") else image.astype(np.float32)


def _string(message: Any, meaning: Meaning, stamp: Stamp) -> Iterator[Stamped]:
    _, length = struct.unpack_from(">HH", message.content)
    yield Note(*stamp, "STRING", _readable(message.content[4 : 4 + length]))


def _report(message: Any, meaning: Meaning, stamp: Stamp) -> Iterator[Stamped]:
    code, _, name = STATUS.unpack_from(message.content)
    said = [name.split(b"\0")[0], message.content[STATUS.size :].split(b"\0")[0]]
    text = ": ".join(_readable(part) for part in said if part)
    yield Note(*stamp, "STATUS" if code == STATUS_OK else f"STATUS {code}", text)


def _points(message: Any, meaning: Meaning, stamp: Stamp) -> Iterator[Stamped]:
    points = np.reshape(np.asarray(message.positions, dtype=np.float64), (-1, 3))
    if not np.all(np.isfinite(points)):
        raise ValueError("a point that is not a number")
    yield Points(*stamp, tuple(message.names), points * FLIP.diagonal()[:3] if meaning.axes is Axes.RAS else points)


def _readable(data: bytes) -> str:
    text = data.decode("utf-8", errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


#: How each kind of message is unpacked and read.
READERS: dict[str, tuple[Callable[[], Any], Callable[[Any, Meaning, Stamp], Iterator[Stamped]]]] = {
    "TRANSFORM": (lambda: library().TransformMessage(), _transform),
    "TDATA": (lambda: raw_message()(), _tracking),
    "IMAGE": (lambda: library().ImageMessage(), _image),
    "STRING": (lambda: raw_message()(), _string),
    "STATUS": (lambda: raw_message()(), _report),
    "POINT": (lambda: library().PointMessage(), _points),
}


def pose_of(matrix: NDArray[np.float64], axes: Axes) -> Pose:
    """The pose in a 4x4 matrix of a peer's axes, LPS mm; raises ``ValueError`` where it is not rigid."""
    m = np.asarray(matrix, dtype=np.float64)
    if not np.all(np.isfinite(m)):
        raise ValueError("a position that is not a number")
    m = FLIP @ m @ FLIP if axes is Axes.RAS else m
    turn = m[:3, :3]
    off = float(np.max(np.abs(turn.T @ turn - np.eye(3))))
    if off > RIGID_TOLERANCE or np.linalg.det(turn) < 0.0:
        raise ValueError(f"a transform that scales, shears or mirrors (by {off:.2g}) is not the position of a tool")
    u, _, vt = np.linalg.svd(turn)
    return Pose(m[:3, 3], u @ vt)


def matrix_of(pose: Pose, axes: Axes) -> NDArray[np.float64]:
    """The 4x4 matrix of a pose in a peer's axes."""
    m = np.eye(4)
    m[:3, :3], m[:3, 3] = pose.axes, pose.origin_mm
    return FLIP @ m @ FLIP if axes is Axes.RAS else m


def message_of(item: Stamped | Alarm, axes: Axes) -> tuple[Any, dict[str, str]]:
    """The message for an item, and what else its meta data say; raises ``TypeError`` where there is none."""
    match item:
        case ToolPose(pose=pose):
            return library().TransformMessage(matrix_of(pose, axes)), {}
        case Frame(image=image, view=view, intensity=intensity):
            row, column = (
                (1.0, 1.0) if view is None else (view.detector.row_spacing_mm, view.detector.column_spacing_mm)
            )
            placed = np.diag((column, row, 1.0, 1.0))
            message = library().ImageMessage(_sendable(image)[None], placed, "ras")
            return message, {INTENSITY_KEY: intensity.name}
        case Slab(volume=volume):
            return library().ImageMessage(_sendable(volume.array), FLIP @ volume.affine, "ras"), {}
        case Note(text=text):
            return string_message(text), {}
        case Points(names=names, points_mm=points):
            out = points * FLIP.diagonal()[:3] if axes is Axes.RAS else points
            return library().PointMessage(out.tolist(), list(names)), {}
        case Alarm(finding=finding, over=over):
            return string_message(f"{'OVER' if over else finding.severity.value.upper()}: {finding.text}"), {}
    raise TypeError(f"a {type(item).__name__} has no message in OpenIGTLink.")


def _sendable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.type not in library().ImageMessage.scalar_types.values():
        raise TypeError(f"an image of {array.dtype.name} has no message in OpenIGTLink.")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def string_message(text: str) -> Any:
    """A STRING, UTF-8; a text longer than the protocol's 65,535 bytes is cut."""
    data = text.encode("utf-8")[:65535]
    encoding = 3 if text.isascii() else 106  # IANA character sets: US-ASCII, UTF-8
    return raw_message()("STRING", struct.pack(">HH", encoding, len(data)) + data)


def status_message(text: str) -> Any:
    """A STATUS that all is well."""
    return raw_message()("STATUS", STATUS.pack(STATUS_OK, 0, b"OK") + text.encode("utf-8") + b"\0")


def tracking_message(tools: list[ToolPose], axes: Axes) -> Any:
    """A TDATA with several tools."""
    rows = [
        TOOL.pack(tool.tool.encode("ascii", errors="replace")[:20], 2, 0, *matrix_of(tool.pose, axes)[:3].T.ravel())
        for tool in tools
    ]
    return raw_message()("TDATA", b"".join(rows))
