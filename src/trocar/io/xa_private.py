"""What legacy XA has no place for: a private block of this program."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from trocar.io.xa_file import as_numbers

#: Where private elements of this program lie, and what they are: isocentre of each frame (x, y, z, LPS mm), row and
#: column of the central ray, roll in degrees. All are 64-bit numbers.
PRIVATE_GROUP, PRIVATE_CREATOR = 0x0029, "TROCAR C-ARM"
ISOCENTRES, PRINCIPAL, ROLL = 0x01, 0x02, 0x03


def private_numbers(header: Dataset, element: int) -> NDArray[np.float64] | None:
    """Numbers of one private element of this program; None where it is absent.

    Where a file does not carry the kind of its elements (implicit VR), they come as bytes.
    """
    try:
        value = header.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[element].value
    except KeyError:
        return None
    if isinstance(value, bytes):
        return np.frombuffer(value, "<f8").copy() if len(value) % 8 == 0 else None
    return as_numbers(value)
