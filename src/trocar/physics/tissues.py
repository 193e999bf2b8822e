"""How tissues store, conduct and carry away heat.

The values are those of the IT'IS database (Hasgall et al., tissue properties database, V4). Where another publication
that cites it was seen to have the same numbers the source says so; the others are from memory, unverified. They are
means over sources that differ, and resting blood flow at that: bone conducts 0.16 to 0.8 W/m/K by who measured it, and
a tumour's blood flow may be anything from a tenth to ten times a muscle's.
"""

from __future__ import annotations

from dataclasses import dataclass

from trocar.physics.curing import DENSITY_G_PER_MM3, HEAT_CAPACITY_J_PER_MM3_K

#: Density and capacity of blood, kg/m3 and J/kg/K: IT'IS, from memory, unverified.
BLOOD_KG_PER_M3, BLOOD_J_PER_KG_K = 1050.0, 3617.0
#: mm3 in a m3, mm in a m, and g in a kg.
_MM3_PER_M3, _MM_PER_M, _G_PER_KG = 1e9, 1e3, 1e3
#: Blood flow in m3/s per kg that is 1 ml/min per kg.
_M3_PER_S = 1e-6 / 60.0


@dataclass(frozen=True)
class HeatTissue:
    """A tissue as heat meets it; ``blood_ml_per_min_kg`` is its resting blood flow by its own mass."""

    name: str
    density_kg_per_m3: float
    capacity_j_per_kg_k: float
    conductivity_w_per_m_k: float
    blood_ml_per_min_kg: float
    source: str

    @property
    def capacity_j_per_mm3_k(self) -> float:
        """Heat that warms a volume of it."""
        return self.density_kg_per_m3 * self.capacity_j_per_kg_k / _MM3_PER_M3

    @property
    def conductivity_w_per_mm_k(self) -> float:
        """Heat that it lets through."""
        return self.conductivity_w_per_m_k / _MM_PER_M

    @property
    def perfusion_w_per_mm3_k(self) -> float:
        """Heat that its blood takes from a volume of it, for each degree above the blood's own."""
        flow_per_s = self.blood_ml_per_min_kg * _M3_PER_S * self.density_kg_per_m3
        return flow_per_s * BLOOD_KG_PER_M3 * BLOOD_J_PER_KG_K / _MM3_PER_M3


_MEMORY = "IT'IS, from memory, unverified"
_COMSOL = "IT'IS; the same in COMSOL's bioheat library (5.5); blood flow: "
_PRESTUS = "the same in the settings of PRESTUS (Donders Institute), which cite IT'IS"

CANCELLOUS = HeatTissue(
    "cancellous bone", 1178.0, 2274.0, 0.31, 30.0, f"IT'IS; capacity and blood flow: {_PRESTUS}; the rest {_MEMORY}"
)
CORTICAL = HeatTissue("cortical bone", 1908.0, 1313.0, 0.32, 10.0, f"{_COMSOL}{_PRESTUS}")
MUSCLE = HeatTissue("muscle", 1090.0, 3421.0, 0.49, 37.0, f"{_COMSOL}{_MEMORY}")
FAT = HeatTissue("fat", 911.0, 2348.0, 0.21, 33.0, f"{_COMSOL}{_MEMORY}")
#: It flows past, which cools like a little blood would; here it stands still, and what it bathes gets no less warm.
CSF = HeatTissue("cerebrospinal fluid", 1007.0, 4096.0, 0.57, 0.0, _MEMORY)
CORD = HeatTissue("spinal cord", 1075.0, 3630.0, 0.51, 160.0, _MEMORY)
DISC = HeatTissue("disc", 1100.0, 3568.0, 0.49, 0.0, _MEMORY)
#: No measurement of a spinal metastasis was found: soft tissue, as well perfused as a muscle at rest. Ours.
LYTIC_TUMOUR = HeatTissue("lytic tumour", 1045.0, 3760.0, 0.55, 50.0, "assumed: soft tissue (density, capacity: IT'IS)")
#: Cement has no blood. It weighs and stores what its curing counts on; conductivity 0.17 to 0.2 W/m/K, from memory,
#: unverified.
CEMENT = HeatTissue(
    "cement",
    DENSITY_G_PER_MM3 * _MM3_PER_M3 / _G_PER_KG,
    HEAT_CAPACITY_J_PER_MM3_K / DENSITY_G_PER_MM3 * _G_PER_KG,
    0.2,
    0.0,
    "density and capacity as in curing; conductivity from memory, unverified",
)
#: All of them, in a fixed order.
TISSUES = (CANCELLOUS, CORTICAL, MUSCLE, FAT, CSF, CORD, DISC, LYTIC_TUMOUR, CEMENT)
