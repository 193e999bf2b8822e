"""The phantom's CT and labels: structures painted back to front, each only where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from trocar.anatomy import phantom_surroundings as around
from trocar.anatomy.levels import Level
from trocar.anatomy.morphometry import MEASURED_LEVELS
from trocar.anatomy.phantom_shapes import Distances, Grid, Shape, Tube, blend, ellipsoid
from trocar.anatomy.phantom_spec import LesionKind, PhantomLesion, PhantomSpec
from trocar.anatomy.phantom_spine import Bend, VertebraForm, column, stand, wall_mm
from trocar.anatomy.schemes import scheme
from trocar.geometry import Side, Vector
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
#: Fat around a nerve root, mm, and the dural sac's share of the canal's width and depth.
ROOT_FAT_MM, SAC_SHARE = 1.5, 0.78
#: Random streams; those of the vertebrae are 0 to 16.
SACRUM_STREAM, RIB_STREAM, NOISE_STREAM = 99, 200, 1000

Window = tuple[slice, slice, slice]


def spine(spec: PhantomSpec) -> dict[Level, VertebraForm]:
    """The vertebrae T1 to L5 of the (unmirrored) patient, head to foot."""
    poses = column(Bend(spec.scoliosis_deg, spec.focus, spec.collapse))
    return stand(poses, spec.focus, spec.collapse, spec.pedicle_share)


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
def label_numbers(name: str) -> tuple[int, ...]:
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
        for tissue in around.trunk(self.forms):
            self._tissue(tissue)
        self._lungs()
        for tissue in around.soft_tissue(self.forms, self.spec.contrast):
            self._tissue(tissue)
        self._canal()
        self._discs()
        self._sacrum()
        self._ribs()
        self._vertebrae()
        self._disease()
        self._part_spaces()
        self._noise()

    def _rendered(self, form: Tube | Shape) -> Iterator[tuple[Window, Distances]]:
        """Where a form lies in the scan and its distances there; nothing when it lies outside."""
        window = self.grid.window(*form.bounds_mm(), MARGIN_MM + float(self.voxel.max()))
        if window is not None:
            yield window, form.render(self.grid.part(window))

    def _fill(self, window: Window, distance: Distances, hu: float, depth_mm: float = 0.0) -> None:
        value = np.broadcast_to(np.float32(hu), distance.shape)
        blend(self.hu[window], distance, value, depth_mm, self.voxel, BLUR_MM)

    def _label(self, window: Window, mask: NDArray[np.bool_], name: str) -> None:
        if name:
            self.labels[window][mask] = label_numbers(name)[0]

    def _tissue(self, tissue: around.Tissue) -> None:
        for window, distance in self._rendered(tissue.form):
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
            for number, lobe in zip(label_numbers(f"lung_{side.value}"), lobes, strict=True):
                self.labels[window][(distance < 0.0) & lobe] = number

    def _canal(self) -> None:
        for window, distance in self._rendered(around.roots(self.forms)):
            self._fill(window, distance, FAT_HU, -ROOT_FAT_MM)
            self._fill(window, distance, ROOT_HU)
        for window, distance in self._rendered(around.canal_tube(self.forms)):
            self._fill(window, distance, FAT_HU)
            self.canal[window] |= distance < 0.0
        self._tissue(around.Tissue("", around.canal_tube(self.forms, SAC_SHARE), FLUID_HU))
        self._tissue(around.Tissue("spinal_cord", around.cord(self.forms), CORD_HU))

    def _discs(self) -> None:
        for window, distance in self._rendered(around.discs(self.forms)):
            self._fill(window, distance, DISC_HU)
            self.discs[window] |= distance < 0.0

    def _sacrum(self) -> None:
        for window, distance in self._rendered(around.sacrum(self.forms)):
            self._bone(window, distance, CORTEX_MM["lumbar"], SACRUM_STREAM)
            self._label(window, distance < 0.0, "sacrum")
            first = around.first_sacral(self.forms, self.grid.part(window))
            self._label(window, (distance < 0.0) & first, "S1")

    def _ribs(self) -> None:
        for number, (level, side) in enumerate(product(MEASURED_LEVELS[:12], Side)):
            for window, distance in self._rendered(around.rib(self.forms, level, side)):
                self._bone(window, distance, CORTEX_MM["rib"], RIB_STREAM + number)
                self._label(window, distance < 0.0, f"rib_{side.value}_{level.value[1:]}")

    def _vertebrae(self) -> None:
        for number, (level, form) in enumerate(self.forms.items()):
            for window, distance in self._rendered(form.shape):
                self._bone(window, distance, CORTEX_MM[level.region], number)
                self._label(window, distance < 0.0, str(level))

    def _part_spaces(self) -> None:
        """Canal and discs are what the bones leave of them."""
        bones = (*map(str, MEASURED_LEVELS), "S1", "sacrum")
        bone = np.isin(self.labels, [n for name in bones for n in label_numbers(name)])
        self.canal &= ~bone & ~self.discs
        self.discs &= ~bone

    def _bone(self, window: Window, distance: Distances, cortex_mm: float, stream: int) -> None:
        """Cortex, and textured trabecular bone within; each bone has its own stream of random numbers."""
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

    def _lesion(self, window: Window, bone: Distances, sphere: Distances) -> None:
        lytic = self.spec.lesion is not None and self.spec.lesion.kind is LesionKind.LYTIC
        inside = np.maximum(sphere, bone)
        self._fill(window, inside, LYTIC_HU if lytic else BLASTIC_HU)
        self.lesion[window] |= inside < 0.0

    def _breach(self, window: Window, bone: Distances, hole: Distances) -> None:
        """Bone goes where the hole is, and soft tissue bulges from it into the canal."""
        self._fill(window, hole, TUMOUR_HU)
        gone = hole < 0.0
        number = label_numbers(str(self.spec.focus))[0]
        labels = self.labels[window]
        labels[gone & (labels == number)] = 0
        self.epidural[window] |= gone & self.canal[window]
        self.lesion[window] |= gone & (bone < 0.0)

    def _noise(self) -> None:
        if self.spec.noise_hu > 0.0:
            rng = np.random.default_rng([self.spec.seed, NOISE_STREAM])
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
        return Acquisition(patient_position="HFS", slices=slices)


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
