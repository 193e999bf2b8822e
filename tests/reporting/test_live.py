"""Pictures of live images: on which side things are drawn, and what is said to lie outside."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from trocar.guidance.carm import CArm, Detector
from trocar.guidance.frames import Frame, Intensity
from trocar.reporting.live import (
    ALARMING,
    EDGE,
    MEASURED,
    PLANNED,
    TOLD,
    Colour,
    Picture,
    captioned,
    cross,
    outline,
    png,
    polyline,
    shown,
)

#: Detector behind a supine patient, as under most tables: the patient's left is on the image's left.
BEHIND = CArm(np.zeros(3), primary_angle_deg=180.0, detector=Detector(128, 96, 1.0, 1.0))


def frame(view: CArm | None = BEHIND, image: np.ndarray | None = None) -> Frame:
    shape = (128, 96) if view is None else view.detector.shape
    grey = np.full(shape, 1000, np.uint16) if image is None else image
    return Frame(0, 0.0, "C-arm", grey, view, Intensity.LINEAR)


def black(rows: int = 64, columns: int = 48) -> Picture:
    return np.zeros((rows, columns, 3), np.uint8)


def drawn(picture: Picture, colour: Colour) -> np.ndarray:
    """Rows and columns of the pixels of a colour; lines are smooth, and their middle is not quite of it."""
    return np.argwhere((np.abs(picture.astype(int) - colour) < 90).all(axis=2))


def letters(view: CArm, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written at the left, the right, the top and the bottom."""
    said: list[str] = []
    monkeypatch.setattr("trocar.reporting.live._letter", lambda picture, words: said.extend(words))
    shown(frame(view))
    return said


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (BEHIND, ["L", "R", "H", "F"]),
        (replace(BEHIND, mirrored=True), ["R", "L", "H", "F"]),
        (replace(BEHIND, primary_angle_deg=0.0), ["R", "L", "H", "F"]),
        (replace(BEHIND, primary_angle_deg=90.0), ["A", "P", "H", "F"]),
        (replace(BEHIND, roll_deg=180.0), ["R", "L", "F", "H"]),
    ],
    ids=["behind", "mirrored", "in front", "at the left", "upside down"],
)
def test_letters_stand_at_the_patients_sides(view: CArm, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert letters(view, monkeypatch) == words


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_lies_at_the_patients_left_is_drawn_beside_its_letter(
    mirrored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = replace(BEHIND, mirrored=mirrored)
    at = letters(view, monkeypatch).index("L")
    picture, scale = np.zeros((512, 384, 3), np.uint8), EDGE / 128
    cross(picture, view.project((20.0, 0.0, 0.0)), scale, MEASURED)
    assert (drawn(picture, MEASURED)[:, 1].mean() > picture.shape[1] / 2) == bool(at)


def test_the_letters_are_white_at_the_middle_of_the_edges() -> None:
    picture, _ = shown(frame())
    bare, _ = shown(frame(None))
    rows, columns = picture.shape[:2]
    changed = np.argwhere((picture != bare).any(axis=2))
    towards = {
        (round(2 * (r - rows / 2) / rows * 1.2), round(2 * (c - columns / 2) / columns * 1.2)) for r, c in changed
    }
    assert towards == {(0, -1), (0, 1), (-1, 0), (1, 0)}


def test_dense_is_dark_and_the_form_is_kept() -> None:
    image = np.full((128, 96), 1000, np.uint16)
    image[64:, :] = 100
    picture, scale = shown(frame(None, image))
    assert picture.shape == (512, 384, 3)
    assert scale == 4.0
    assert picture[400].mean() < 20 < 200 < picture[100].mean()
    assert (np.ptp(picture, axis=2) == 0).all()


@pytest.mark.parametrize(("edge", "scale"), [(1024, 0.5), (256, 2.0)])
def test_a_point_is_drawn_where_its_pixel_is_shown(edge: int, scale: float) -> None:
    view = CArm(np.zeros(3), detector=Detector(edge, edge))
    image = np.full((edge, edge), 60000, np.uint16)
    row, column, half = edge // 2 - 13, edge // 2 + 5, edge // 12
    image[row - half : row + half + 1, column - half : column + half + 1] = 600
    picture, found = shown(frame(view, image))
    dark = np.argwhere(picture[100:400, 100:400, 0] < 100) + 100
    canvas = black(512, 512)
    cross(canvas, (row, column), found, MEASURED)
    assert found == scale
    np.testing.assert_allclose(drawn(canvas, MEASURED).mean(axis=0), dark.mean(axis=0), atol=0.5)


def test_an_image_of_one_grey_is_shown() -> None:
    assert shown(frame(None, np.zeros((8, 8), np.uint8)))[0].shape == (512, 512, 3)


def test_an_outline_goes_with_the_shift() -> None:
    mask = np.zeros((64, 48), bool)
    mask[20:30, 10:16] = True
    still, moved = black(), black()
    assert outline(still, mask, 1.0, MEASURED)
    assert outline(moved, mask, 1.0, MEASURED, (5.0, -3.0))
    np.testing.assert_array_equal(drawn(still, MEASURED).min(axis=0), (20, 10))
    np.testing.assert_array_equal(drawn(still, MEASURED).max(axis=0), (29, 15))
    np.testing.assert_array_equal(drawn(moved, MEASURED), drawn(still, MEASURED) + np.array((5, -3)))


def test_an_outline_that_is_shifted_out_of_the_picture_is_said_to_be_outside() -> None:
    mask = np.zeros((64, 48), bool)
    mask[20:30, 10:16] = True
    picture = black()
    assert not outline(picture, mask, 1.0, MEASURED, (100.0, 0.0))
    assert not picture.any()


def test_a_line_from_far_outside_is_cut_at_the_edge() -> None:
    picture = black()
    assert polyline(picture, [(-1e7, -1e7 + 7.0), (1e7, 1e7 + 7.0)], 1.0, PLANNED)
    rows, columns = np.nonzero(picture.any(axis=2))
    assert np.abs(columns - rows - 7).max() <= 1
    assert rows.min() == 0
    assert columns.max() == 47


@pytest.mark.parametrize(
    "points",
    [
        [(-5.0, 3.0), (-1.0, 40.0)],
        [(10.0, 100.0), (20.0, 100.0)],
        [(-10.0, 20.0), (30.0, -70.0)],
        [(np.nan, np.nan), (20.0, 20.0)],
        [(20.0, 20.0)],
    ],
    ids=["above", "beside", "past a corner", "cannot be projected", "one point"],
)
def test_a_line_that_is_not_seen_is_said_to_be_outside(points: list[tuple[float, float]]) -> None:
    picture = black()
    assert not polyline(picture, points, 1.0, PLANNED)
    assert not picture.any()


def test_only_the_pieces_at_a_point_that_is_not_a_number_are_left_out() -> None:
    picture = black()
    assert polyline(picture, [(np.nan, 0.0), (20.0, 10.0), (20.0, 30.0)], 1.0, PLANNED)
    np.testing.assert_array_equal(drawn(picture, PLANNED), [(20, column) for column in range(11, 30)])


def test_a_caption_has_its_colours_in_order_below_the_picture() -> None:
    told = captioned(black(), [("top", TOLD), ("mid", PLANNED), ("low", ALARMING)])
    assert told.shape == (64 + 8 + 3 * 22, 48, 3)
    assert not told[:64].any()
    at = [drawn(told, colour)[:, 0].mean() for colour in (TOLD, PLANNED, ALARMING)]
    assert at == sorted(at)
    assert at[0] > 64


def test_a_long_caption_goes_on_in_the_next_row_and_a_film_has_one_size() -> None:
    long = ("one two six ten", TOLD)
    assert captioned(black(), [long]).shape[0] > captioned(black(), [("one", TOLD)]).shape[0]
    assert captioned(black(), [long], 2).shape == captioned(black(), [("one", TOLD)], 2).shape


def test_png_keeps_every_pixel() -> None:
    picture = black()
    picture[3, 5] = PLANNED
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(png(picture)))), picture)
