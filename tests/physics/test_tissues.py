"""The tissues' numbers: units, the published table, and what physics bounds them by."""

from __future__ import annotations

import pytest

from trocar.physics.curing import HEAT_CAPACITY_J_PER_MM3_K
from trocar.physics.tissues import CEMENT, CORD, CORTICAL, FAT, MUSCLE, TISSUES

#: Water at 37 degC (CRC handbook): no tissue stores more heat by volume, none of these conducts better.
WATER_J_PER_MM3_K, WATER_W_PER_MM_K = 4.15e-3, 6.3e-4


def test_units() -> None:
    assert MUSCLE.capacity_j_per_mm3_k == pytest.approx(3.729e-3, rel=1e-3)
    assert MUSCLE.conductivity_w_per_mm_k == pytest.approx(4.9e-4)
    # 37 ml/min/kg are 0.04033 ml/min/ml or 6.72e-4 /s of blood that holds 3.798e-3 J/mm3/K
    assert MUSCLE.perfusion_w_per_mm3_k == pytest.approx(6.722e-4 * 3.798e-3, rel=1e-3)


def test_the_bioheat_library_of_comsol() -> None:
    """doc.comsol.com 5.5, bioheat materials database: bone, fat, muscle (W/m/K, kg/m3, J/kg/K)."""
    table = {CORTICAL: (0.32, 1908, 1313), FAT: (0.21, 911, 2348), MUSCLE: (0.49, 1090, 3421)}
    for tissue, row in table.items():
        assert (tissue.conductivity_w_per_m_k, tissue.density_kg_per_m3, tissue.capacity_j_per_kg_k) == row


@pytest.mark.parametrize("tissue", TISSUES, ids=lambda t: t.name)
def test_no_tissue_beats_water(tissue) -> None:
    assert 1e-3 < tissue.capacity_j_per_mm3_k < WATER_J_PER_MM3_K
    assert 1e-4 < tissue.conductivity_w_per_mm_k < WATER_W_PER_MM_K
    assert 0.0 <= tissue.perfusion_w_per_mm3_k <= CORD.perfusion_w_per_mm3_k
    assert tissue.source


def test_cement_stores_what_its_curing_counts_on() -> None:
    assert CEMENT.capacity_j_per_mm3_k == pytest.approx(HEAT_CAPACITY_J_PER_MM3_K)
    assert CEMENT.density_kg_per_m3 == pytest.approx(1190.0)
