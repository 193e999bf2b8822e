"""A patient of known truth: CT, labels, and the numbers that drew them.

::

    patient = phantom(PhantomSpec(levels=("T12", "L1", "L2"), focus="L1"))
    patient.ct, patient.labels           # canonical volumes, HU and TotalSegmentator v2 numbers
    patient.truth.vertebrae[Level.L1]    # pose, pedicle axes, widths, heights, landmarks

Sizes come level by level from ``data/morphometry.json``; what lies between published levels is
interpolated, and ``truth.notes`` tells it. Every shape is an implicit surface
(:mod:`trocar.anatomy.phantom_shapes`) and the truth is read from the same parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from trocar.anatomy import phantom_surroundings as around
from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import MEASURED_LEVELS, Morphometry, morphometry
from trocar.anatomy.phantom_shapes import Distances, Grid, Shape, Tube, blend, ellipsoid
from trocar.anatomy.phantom_spine import (
    Bend,
    Collapse,
    PedicleForm,
    VertebraForm,
    body_form,
    body_heights_mm,
    column,
    stand,
    stations_mm,
    wall_mm,
)
from trocar.anatomy.schemes import scheme
from trocar.geometry import Line, Plane, Pose, Side, Vector, frozen, unit
from trocar.measure import Range
from trocar.volume import Acquisition, Slice, Volume

SCHEME = "totalseg-v2"
FRAME_OF_REFERENCE = "2.25.88172645190113346412578640091743215512"

#: HU of cortical bone, of healthy trabecular bone (typical L1, 120 kV) and of its texture (1 SD).
CORTEX_HU, TRABECULAR_HU, TEXTURE_HU = 1250.0, 165.0, 32.0
#: Correlation length of the trabecular texture, mm.
TEXTURE_MM = 0.9
#: Cortex of vertebrae (thoracic, lumbar) and of ribs, mm.
CORTEX_MM = {"thoracic": 0.9, "lumbar": 1.1, "rib": 0.9}
#: HU of a lytic and a blastic lesion, and of soft tissue grown out of the bone.
LYTIC_HU, BLASTIC_HU, TUMOUR_HU = 42.0, 750.0, 48.0
FAT_HU, FLUID_HU, CORD_HU, ROOT_HU, DISC_HU, LUNG_HU, AIR_HU = -80.0, 12.0, 42.0, 35.0, 85.0, -840.0, -1000.0
#: Blur of the scanner, mm.
BLUR_MM = 0.6
#: Painted around a shape so that its edge is whole, mm.
MARGIN_MM = 4.0
#: Width of the default field of view and its depth in front of the focus body's centre, mm.
WIDTH_MM, FRONT_MM = 230.0, 92.0
#: How far the default field of view reaches below L5, to show the first sacral vertebra, mm.
SACRUM_MM = 30.0


class Fracture(Enum):
    """How the focus body has collapsed; the percentage is lost in front, in the middle, or everywhere."""

    NONE = "none"
    WEDGE = "wedge"
    BICONCAVE = "biconcave"
    CRUSH = "crush"


class LesionKind(Enum):
    """What a lesion does to bone."""

    LYTIC = "lytic"
    BLASTIC = "blastic"


@dataclass(frozen=True)
class PhantomLesion:
    """A round lesion in the focus body.

    ``place`` is its centre as shares of the body's half-size towards left, posterior and superior
    (-1 to 1 each; 0, 0, 0 is the body's centre).
    """

    kind: LesionKind = LesionKind.LYTIC
    diameter_mm: float = 15.0
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", LesionKind(self.kind))
        Range(3.0, 40.0, "mm").check("diameter_mm", self.diameter_mm, "a lesion")
        for share in self.place:
            Range(-1.0, 1.0).check("place", share, "a lesion")


@dataclass(frozen=True)
class PhantomSpec:
    """What patient to draw, and how to scan it.

    ``levels`` (T1 to L5, in one run) lie whole in the field of view; ``focus`` is the one that is
    fractured or diseased and the apex of a scoliosis. ``fracture_percent`` of height is lost.
    ``broken_posterior_wall`` opens the focus body's posterior wall and puts soft tissue into the
    canal. ``trabecular`` scales trabecular HU (0.5 is severe osteoporosis). ``scoliosis_deg`` is a
    Cobb angle. ``voxel_mm`` is slice, row, column; ``field_of_view_mm`` likewise, centred on the
    focus body, None for one that holds all levels and the skin of the back. ``noise_hu`` is one
    standard deviation. ``mirror`` gives the exact mirror image of the patient.
    """

    levels: tuple[Level, ...] = (Level.T12, Level.L1, Level.L2)
    focus: Level = Level.L1
    fracture: Fracture = Fracture.NONE
    fracture_percent: float = 30.0
    lesion: PhantomLesion | None = None
    broken_posterior_wall: bool = False
    scoliosis_deg: float = 0.0
    trabecular: float = 1.0
    contrast: bool = False
    voxel_mm: tuple[float, float, float] = (1.25, 0.8, 0.8)
    field_of_view_mm: tuple[float, float, float] | None = None
    noise_hu: float = 12.0
    seed: int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        levels = sorted({Level.parse(v) for v in self.levels}, key=lambda v: v.order)
        object.__setattr__(self, "levels", tuple(levels))
        object.__setattr__(self, "focus", Level.parse(self.focus))
        object.__setattr__(self, "fracture", Fracture(self.fracture))
        self._check_levels()
        Range(5.0, 70.0, "%").check("fracture_percent", self.fracture_percent, "the phantom")
        Range(-45.0, 45.0, "deg").check("scoliosis_deg", self.scoliosis_deg, "the phantom")
        Range(0.2, 1.6).check("trabecular", self.trabecular, "the phantom")
        Range(0.0, 80.0, "HU").check("noise_hu", self.noise_hu, "the phantom")
        for size in self.voxel_mm:
            Range(0.3, 5.0, "mm").check("voxel_mm", size, "the phantom")
        for size in self.field_of_view_mm or ():
            Range(10.0, 900.0, "mm").check("field_of_view_mm", size, "the phantom")

    def _check_levels(self) -> None:
        outside = [str(v) for v in self.levels if v not in MEASURED_LEVELS]
        if outside or not self.levels:
            raise ValueError(f"levels={', '.join(outside) or 'none'}: the phantom has T1 to L5.")
        run = [MEASURED_LEVELS.index(v) for v in self.levels]
        if run != list(range(run[0], run[-1] + 1)):
            raise ValueError(f"levels={', '.join(map(str, self.levels))} are not one run of neighbours.")
        if self.focus not in self.levels:
            raise ValueError(f"focus={self.focus} is not among levels={', '.join(map(str, self.levels))}.")

    @property
    def collapse(self) -> Collapse:
        """The shares of height lost by the focus body."""
        share = self.fracture_percent / 100.0
        return Collapse(**{} if self.fracture is Fracture.NONE else {self.fracture.value: share})


@dataclass(frozen=True)
class PedicleTruth:
    """One pedicle as drawn.

    ``axis`` is the centreline of the pedicle's tube: its point is the centre of the narrowest
    section, its direction runs from the arch into the body. ``width_mm`` is the narrowest diameter
    in the plane of the vertebra's left axis and the pedicle's axis, perpendicular to the axis;
    ``height_mm`` the diameter at the same place perpendicular to both. In the vertebra's frame the
    transverse angle is that between the axis, seen from above, and the midplane (positive where it
    converges in front); the sagittal angle is that between the axis and the transverse plane
    (positive where it rises in front).
    """

    side: Side
    axis: Line
    width_mm: float
    height_mm: float
    transverse_angle_deg: float
    sagittal_angle_deg: float


@dataclass(frozen=True, eq=False)
class VertebraTruth:
    """One vertebra as drawn, in LPS mm.

    ``frame`` has its origin halfway between the intact endplates' rims, at half the body's width
    and depth. Heights are the distance between the endplates' outer surfaces along the frame's
    superior axis, in the frame's midsagittal plane, at ``stations_mm`` (front, middle, back:
    posterior coordinates in the frame); front and back are 3 mm inside the body's edges, the middle
    halfway. ``intact_heights_mm`` are the same before a fracture. ``endplates`` ("superior",
    "inferior") pass through the endplate at the front and the back station, parallel to the left
    axis, normals out of the body. ``landmarks``: "spinous_tip" is its most posterior bone;
    "articular_transverse_junction_left/right" (lumbar) lies on the bone behind, where the lateral
    edge of the superior articular process meets the middle of the transverse process;
    "rib_transverse_notch_left/right" (thoracic) is the middle of the gap between rib and transverse
    process. ``distance_mm`` is the signed distance to the drawn surface, before any lesion.
    ``whole`` says whether body, pedicles and arch with all its processes lie inside the
    field of view.
    """

    level: Level
    frame: Pose
    pedicles: dict[Side, PedicleTruth]
    heights_mm: tuple[float, float, float]
    intact_heights_mm: tuple[float, float, float]
    stations_mm: tuple[float, float, float]
    endplates: dict[str, Plane]
    landmarks: dict[str, Vector]
    morphometry: Morphometry
    whole: bool
    form: VertebraForm
    mirrored: bool

    def distance_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """Signed distance of LPS points ``(..., 3)`` to the bone's surface, negative inside."""
        points = np.asarray(points_mm, dtype=np.float64)
        points = points * MIRROR if self.mirrored else points
        return self.form.shape.distance_mm(self.form.pose.to_local(points))

    def height_mm(self, posterior_mm: float) -> float:
        """Body height in the midsagittal plane at a posterior coordinate of the frame."""
        bottom, top = self.form.body.endplates_mm(0.0, posterior_mm)
        return top - bottom


@dataclass(frozen=True, eq=False)
class Truth:
    """Everything that was drawn and can be asked for.

    ``canal`` (the space between the bones), ``discs``, ``lesion`` (what replaces bone) and
    ``epidural`` (soft tissue grown into the canal) are masks on the CT's grid. ``back_skin_mm`` is,
    per slice, the posterior coordinate of the skin in the midline (x of the focus). ``notes`` say
    what was interpolated or is unverified.
    """

    vertebrae: dict[Level, VertebraTruth]
    canal: Volume
    discs: Volume
    lesion: Volume
    epidural: Volume
    back_skin_mm: NDArray[np.float64]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Phantom:
    """A drawn patient. ``labels`` uses TotalSegmentator v2 numbers on the CT's grid."""

    spec: PhantomSpec
    ct: Volume
    labels: Volume
    truth: Truth


#: Turns LPS coordinates into those of the mirror image.
MIRROR = frozen([-1.0, 1.0, 1.0])


def phantom(spec: PhantomSpec | None = None) -> Phantom:
    """Draw and scan a patient; about two seconds for three levels at the default voxel size."""
    spec = PhantomSpec() if spec is None else spec
    canvas = Canvas(spec, spine(spec))
    canvas.paint()
    return _mirrored(canvas) if spec.mirror else canvas.phantom()


def spine(spec: PhantomSpec) -> dict[Level, VertebraForm]:
    """The vertebrae T1 to L5 of the (unmirrored) patient, head to foot."""
    poses = column(Bend(spec.scoliosis_deg, spec.focus, spec.collapse))
    return stand(poses, spec.focus, spec.collapse)


# --- the field of view --------------------------------------------------------------------------


def scan_grid(spec: PhantomSpec, forms: dict[Level, VertebraForm]) -> Grid:
    """Voxel centres of the scan, in the unmirrored patient."""
    low, high = _view(spec, forms)
    axes = []
    for a, b, step in zip(low, high, spec.voxel_mm[::-1], strict=True):
        count = max(round((b - a) / step), 1)
        axes.append(0.5 * (a + b) + step * (np.arange(count) - 0.5 * (count - 1)))
    return Grid(*axes)


def _view(spec: PhantomSpec, forms: dict[Level, VertebraForm]) -> tuple[Vector, Vector]:
    centre = forms[spec.focus].pose.origin_mm
    if spec.field_of_view_mm is not None:
        half = 0.5 * np.array(spec.field_of_view_mm[::-1])
        return centre - half, centre + half
    boxes = [forms[v].shape.bounds_mm() for v in spec.levels]
    low = np.min([a for a, _ in boxes], axis=0) - 6.0
    high = np.max([b for _, b in boxes], axis=0) + 6.0
    if Level.L5 in spec.levels:
        low[2] -= SACRUM_MM
    outline = around.skin(forms).sections(np.linspace(low[2], high[2], 20))
    low[0], high[0] = min(low[0], centre[0] - 0.5 * WIDTH_MM), max(high[0], centre[0] + 0.5 * WIDTH_MM)
    low[1] = min(form.pose.origin_mm[1] for form in (forms[v] for v in spec.levels)) - FRONT_MM
    high[1] = float(np.max(outline[:, 1] + outline[:, 3])) + 10.0
    return low, high


@cache
def _numbers(name: str) -> tuple[int, ...]:
    """The label numbers of a structure, ascending; the lobes of a lung are several."""
    return tuple(sorted(n for n, meaning in scheme(SCHEME).labels.items() if meaning.name == name))


# --- painting -----------------------------------------------------------------------------------


class Canvas:
    """The scan while it is painted: back to front, each structure only where it lies."""

    def __init__(self, spec: PhantomSpec, forms: dict[Level, VertebraForm]) -> None:
        self.spec, self.forms = spec, forms
        self.grid = scan_grid(spec, forms)
        self.hu = np.full(self.grid.shape, AIR_HU, dtype=np.float32)
        self.labels = np.zeros(self.grid.shape, dtype=np.uint8)
        self.canal, self.discs, self.lesion, self.epidural = (np.zeros(self.grid.shape, dtype=bool) for _ in range(4))
        self.voxel = np.array(spec.voxel_mm)

    def paint(self) -> None:
        """All structures, then the noise."""
        tissues = around.soft_tissue(self.forms, self.spec.contrast)
        for tissue in tissues[:3]:
            self._tissue(tissue)
        self._lungs()
        for tissue in tissues[3:]:
            self._tissue(tissue)
        self._canal()
        for _, window, distance in self._rendered(around.discs(self.forms)):
            self._fill(window, distance, DISC_HU)
            self.discs[window] |= distance < 0.0
        self._bones()
        self._disease()
        bones = (*map(str, MEASURED_LEVELS), "S1", "sacrum")
        bone = np.isin(self.labels, [n for name in bones for n in _numbers(name)])
        self.canal &= ~bone & ~self.discs
        self.discs &= ~bone
        self._noise()

    def _rendered(self, *forms: Tube | Shape) -> Iterator[tuple[int, tuple[slice, slice, slice], Distances]]:
        for n, form in enumerate(forms):
            window = self.grid.window(*form.bounds_mm(), MARGIN_MM)
            if window is not None:
                yield n, window, form.render(self.grid.part(window))

    def _fill(self, window: tuple[slice, slice, slice], distance: Distances, hu: float, depth_mm: float = 0.0) -> None:
        value = np.broadcast_to(np.float32(hu), distance.shape)
        blend(self.hu[window], distance, value, depth_mm, self.voxel, BLUR_MM)

    def _label(self, window: tuple[slice, slice, slice], mask: NDArray[np.bool_], name: str) -> None:
        if name:
            self.labels[window][mask] = _numbers(name)[0]

    def _tissue(self, tissue: around.Tissue) -> None:
        for _, window, distance in self._rendered(tissue.form):
            self._fill(window, distance, tissue.hu)
            self._label(window, distance < 0.0, tissue.name)

    def _lungs(self) -> None:
        window = self.grid.window([-1e4, -1e4, self.forms[Level.L1].pose.origin_mm[2]], [1e4] * 3, 0.0)
        if window is None:
            return
        grid = self.grid.part(window)
        distance = around.lung_distance(self.forms, grid)
        self._fill(window, distance, LUNG_HU)
        for side, lobes in around.lobes(self.forms, grid).items():
            for number, lobe in zip(_numbers(f"lung_{side.value}"), lobes, strict=True):
                self.labels[window][(distance < 0.0) & lobe] = number

    def _canal(self) -> None:
        for _, window, distance in self._rendered(around.roots(self.forms)):
            self._fill(window, distance + 1.5, FAT_HU, -3.0)
            self._fill(window, distance, ROOT_HU)
        whole, sac = around.canal_tube(self.forms), around.canal_tube(self.forms, 0.78)
        for n, window, distance in self._rendered(whole, sac):
            self._fill(window, distance, FLUID_HU if n else FAT_HU)
            if n == 0:
                self.canal[window] |= distance < 0.0
        self._tissue(around.Tissue("spinal_cord", around.cord(self.forms), CORD_HU))

    def _bones(self) -> None:
        for _, window, distance in self._rendered(around.sacrum(self.forms)):
            self._bone(window, distance, CORTEX_MM["lumbar"], 99)
            self._label(window, distance < 0.0, "sacrum")
            first = around.first_sacral(self.forms, self.grid.part(window))
            self._label(window, (distance < 0.0) & first, "S1")
        for number, level in enumerate(MEASURED_LEVELS[:12]):
            for side in Side:
                for _, window, distance in self._rendered(around.rib(self.forms, level, side)):
                    self._bone(window, distance, CORTEX_MM["rib"], 200 + 2 * number + (side is Side.LEFT))
                    self._label(window, distance < 0.0, f"rib_{side.value}_{level.value[1:]}")
        for number, (level, form) in enumerate(self.forms.items()):
            for _, window, distance in self._rendered(form.shape):
                self._bone(window, distance, CORTEX_MM[level.region], number)
                self._label(window, distance < 0.0, str(level))

    def _bone(self, window: tuple[slice, slice, slice], distance: Distances, cortex_mm: float, stream: int) -> None:
        rng = np.random.default_rng([self.spec.seed, stream])
        sigma = TEXTURE_MM / self.voxel
        texture = gaussian_filter(rng.standard_normal(distance.shape, dtype=np.float32), sigma)
        texture /= max(float(texture.std()), 1e-6)
        share = self.spec.trabecular
        trabecular = (TRABECULAR_HU * share + TEXTURE_HU * np.sqrt(share) * texture).astype(np.float32)
        self._fill(window, distance, CORTEX_HU)
        blend(self.hu[window], distance, trabecular, cortex_mm, self.voxel, BLUR_MM)

    def _disease(self) -> None:
        form = self.forms[self.spec.focus]
        window = self.grid.window(*form.shape.bounds_mm(), MARGIN_MM)
        if window is None:
            return
        grid = self.grid.part(window)
        bone = form.shape.render(grid)
        if self.spec.lesion is not None:
            self._lesion(window, bone, lesion_shape(form, self.spec.lesion).render(grid))
        if self.spec.broken_posterior_wall:
            self._breach(window, bone, breach_shape(form).render(grid))

    def _lesion(self, window: tuple[slice, slice, slice], bone: Distances, sphere: Distances) -> None:
        lytic = self.spec.lesion is not None and self.spec.lesion.kind is LesionKind.LYTIC
        inside = np.maximum(sphere, bone)
        self._fill(window, inside, LYTIC_HU if lytic else BLASTIC_HU)
        self.lesion[window] |= inside < 0.0

    def _breach(self, window: tuple[slice, slice, slice], bone: Distances, hole: Distances) -> None:
        """Bone goes where the hole is, and soft tissue bulges from it into the canal."""
        self._fill(window, hole, TUMOUR_HU)
        gone = hole < 0.0
        number = _numbers(str(self.spec.focus))[0]
        labels = self.labels[window]
        labels[gone & (labels == number)] = 0
        self.epidural[window] |= gone & self.canal[window]
        self.lesion[window] |= gone & (bone < 0.0)

    def _noise(self) -> None:
        if self.spec.noise_hu > 0.0:
            rng = np.random.default_rng([self.spec.seed, 1000])
            noise = rng.standard_normal(self.grid.shape, dtype=np.float32)
            noise *= self.spec.noise_hu
            self.hu += noise
        np.clip(self.hu, -1024.0, 3071.0, out=self.hu)

    # --- what comes out

    def affine(self) -> NDArray[np.float64]:
        """Index ijk to LPS mm."""
        out = np.diag([*self.spec.voxel_mm[::-1], 1.0])
        out[:3, 3] = self.grid.x[0], self.grid.y[0], self.grid.z[0]
        return out

    def volume(self, array: NDArray[np.generic], unit_name: str) -> Volume:
        """An array on the scan's grid."""
        return Volume(array, self.affine(), FRAME_OF_REFERENCE, unit_name)

    def acquisition(self) -> Acquisition:
        """A supine scan, head first, slices numbered from the head."""
        count = len(self.grid.z)
        slices = tuple(Slice(count - k, float(z), float(z)) for k, z in enumerate(self.grid.z))
        return Acquisition(patient_position="HFS", modality="CT", slices=slices)

    def phantom(self) -> Phantom:
        """The finished patient."""
        ct = replace(self.volume(self.hu, "HU"), acquisition=self.acquisition())
        truth = Truth(
            {v: vertebra_truth(form, self) for v, form in self.forms.items() if self._in_view(form)},
            self.volume(self.canal, "mask"),
            self.volume(self.discs, "mask"),
            self.volume(self.lesion, "mask"),
            self.volume(self.epidural, "mask"),
            frozen(self._back_skin()),
            notes(self.spec),
        )
        return Phantom(self.spec, ct, self.volume(self.labels, "label"), truth)

    def _in_view(self, form: VertebraForm) -> bool:
        return bool(np.any(self.labels == _numbers(str(form.level))[0]))

    def _back_skin(self) -> NDArray[np.float64]:
        x, y, a, b = around.skin(self.forms).sections(self.grid.z).T
        middle = self.forms[self.spec.focus].pose.origin_mm[0]
        return y + b * np.sqrt(np.maximum(1.0 - ((middle - x) / a) ** 2, 0.0))


def lesion_shape(form: VertebraForm, lesion: PhantomLesion) -> Shape:
    """The lesion as a ball in the body."""
    body = form.body
    half = np.array([0.5 * (body.half_width_top + body.half_width_bottom), wall_mm(form.measures), body.top])
    r = 0.5 * lesion.diameter_mm
    return Shape(form.pose, np.array([ellipsoid(half * lesion.place, (r, r, r), (0, 0, 1))]))


def breach_shape(form: VertebraForm) -> Shape:
    """The hole in the posterior wall and the tissue that bulges 4 mm through it, at the midline."""
    centre = [0.0, wall_mm(form.measures) - 1.0, 0.0]
    return Shape(
        form.pose, np.array([ellipsoid(centre, (8.0, 5.0, 0.3 * form.measures.posterior_height_mm), (0, 0, 1))])
    )


# --- truth --------------------------------------------------------------------------------------


def vertebra_truth(form: VertebraForm, canvas: Canvas) -> VertebraTruth:
    """What was drawn at one level (unmirrored)."""
    return VertebraTruth(
        level=form.level,
        frame=form.pose,
        pedicles={side: _pedicle_truth(form.pose, p) for side, p in form.pedicles.items()},
        heights_mm=body_heights_mm(form.body),
        intact_heights_mm=body_heights_mm(body_form(form.measures)),
        stations_mm=stations_mm(form.body),
        endplates=_endplates(form),
        landmarks=_landmarks(canvas.forms, form.level),
        morphometry=form.measures,
        whole=_is_whole(form, canvas.grid),
        form=form,
        mirrored=False,
    )


def _pedicle_truth(pose: Pose, p: PedicleForm) -> PedicleTruth:
    axis = Line(pose.to_world(p.isthmus_mm), pose.axes @ p.direction)
    return PedicleTruth(p.side, axis, p.width_mm, p.height_mm, p.transverse_angle_deg, p.sagittal_angle_deg)


def _endplates(form: VertebraForm) -> dict[str, Plane]:
    front, _, back = stations_mm(form.body)
    ends = [form.body.endplates_mm(0.0, y) for y in (front, back)]
    out = {}
    for name, n, sign in (("inferior", 0, -1.0), ("superior", 1, 1.0)):
        slope = (ends[1][n] - ends[0][n]) / (back - front)
        normal = sign * unit([0.0, -slope, 1.0])
        point = [0.0, 0.5 * (front + back), 0.5 * (ends[0][n] + ends[1][n])]
        out[name] = Plane(form.pose.to_world(point), form.pose.axes @ normal)
    return out


def _landmarks(forms: dict[Level, VertebraForm], level: Level) -> dict[str, Vector]:
    form = forms[level]
    out = {"spinous_tip": _rearmost(form)}
    for side in Side:
        if level.region == "lumbar":
            out[f"articular_transverse_junction_{side.value}"] = _on_surface(form, form.points[f"crease_{side.value}"])
        else:
            out[f"rib_transverse_notch_{side.value}"] = _gap_middle(form, around.rib(forms, level, side), side)
    return {name: form.pose.to_world(point) for name, point in out.items()}


def _rearmost(form: VertebraForm) -> Vector:
    """The most posterior bone of the spinous process in the midsagittal plane."""
    reach = np.arange(-9.0, 9.01, 0.2)
    y, z = np.meshgrid(reach, reach, indexing="ij")
    plane = form.points["spinous_end"] + np.stack([np.zeros_like(y), y, z], axis=-1).reshape(-1, 3)
    bone = plane[form.shape.distance_mm(plane) <= 0.0]
    return np.asarray(bone[bone[:, 1] > bone[:, 1].max() - 0.05].mean(axis=0))


def _on_surface(form: VertebraForm, point: Vector) -> Vector:
    """The most posterior bone at a point's left and superior coordinate."""
    y = point[1] + np.arange(25.0, -15.0, -0.05)
    line = np.column_stack([np.full_like(y, point[0]), y, np.full_like(y, point[2])])
    hits = form.shape.distance_mm(line) <= 0.0
    return np.asarray(line[int(np.argmax(hits))])


def _gap_middle(form: VertebraForm, rib: Shape, side: Side) -> Vector:
    """Where, on the line from the transverse process's tip to the rib's tubercle, both are equally far."""
    tip = form.points[f"transverse_tip_{side.value}"]
    points = tip + np.linspace(0.0, 1.0, 401)[:, None] * (around.rib_tubercle(form, side) - tip)
    nearer_rib = rib.distance_mm(form.pose.to_world(points)) <= form.shape.distance_mm(points)
    return np.asarray(points[int(np.argmax(nearer_rib))])


def _is_whole(form: VertebraForm, grid: Grid) -> bool:
    low, high = form.shape.bounds_mm()
    ends = np.array([[a[0], a[-1]] for a in (grid.x, grid.y, grid.z)])
    return bool(np.all(low >= ends[:, 0]) and np.all(high <= ends[:, 1]))


def notes(spec: PhantomSpec) -> tuple[str, ...]:
    """What in the drawn levels is interpolated between published levels, and what is unverified."""
    out = []
    for level in spec.levels:
        m = morphometry(level)
        if m.interpolated:
            out.append(f"{level}: {', '.join(sorted(m.interpolated))} interpolated between published levels.")
        if m.unverified:
            out.append(f"{level}: {', '.join(sorted(m.unverified))} recalled or chosen, not read in a source.")
    return tuple(out)


# --- mirror -------------------------------------------------------------------------------------


def _mirrored(canvas: Canvas) -> Phantom:
    """The mirror image: arrays flipped left to right, names of sides exchanged, truth reflected."""
    plain = canvas.phantom()
    affine = canvas.affine()
    affine[0, 3] = -canvas.grid.x[-1]

    def flipped(volume: Volume) -> Volume:
        return replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1]), affine=affine)

    labels = flipped(replace(plain.labels, array=_swapped_sides()[plain.labels.array]))
    truth = plain.truth
    return Phantom(
        plain.spec,
        flipped(plain.ct),
        labels,
        replace(
            truth,
            vertebrae={v: _mirror_vertebra(t) for v, t in truth.vertebrae.items()},
            canal=flipped(truth.canal),
            discs=flipped(truth.discs),
            lesion=flipped(truth.lesion),
            epidural=flipped(truth.epidural),
        ),
    )


def _swap(name: str) -> str:
    for a, b in (("left", "right"), ("right", "left")):
        if a in name.split("_"):
            return "_".join(b if word == a else word for word in name.split("_"))
    return name


def _swapped_sides() -> NDArray[np.uint8]:
    """Label number -> number of its other side; the right lung's middle lobe goes to the left's upper one."""
    table = np.arange(256, dtype=np.uint8)
    for number, meaning in scheme(SCHEME).labels.items():
        mine, other = _numbers(meaning.name), _numbers(_swap(meaning.name)) or (number,)
        place = mine.index(number)
        table[number] = other[-1] if number == mine[-1] else other[min(place, max(len(other) - 2, 0))]
    return table


def _mirror_vertebra(t: VertebraTruth) -> VertebraTruth:
    axes = MIRROR[:, None] * t.frame.axes * MIRROR[None, :]
    return replace(
        t,
        frame=Pose(t.frame.origin_mm * MIRROR, axes),
        pedicles={p.side.other: _mirror_pedicle(p) for p in t.pedicles.values()},
        endplates={k: Plane(p.point_mm * MIRROR, p.normal * MIRROR) for k, p in t.endplates.items()},
        landmarks={_swap(k): v * MIRROR for k, v in t.landmarks.items()},
        mirrored=True,
    )


def _mirror_pedicle(p: PedicleTruth) -> PedicleTruth:
    return replace(p, side=p.side.other, axis=Line(p.axis.point_mm * MIRROR, p.axis.direction * MIRROR))
