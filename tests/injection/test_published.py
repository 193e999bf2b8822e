"""Published leak rates: the numbers of the papers, and which of them stand beside a simulation."""

from __future__ import annotations

import pytest

from trocar.injection.leak_series import (
    ANY,
    CANAL,
    MAYO,
    RATES,
    TANG_CLEFT,
    TANG_SOLID,
    VENMANS,
    ZHANG,
    Augmentation,
    Modality,
    Rate,
    Study,
    Unit,
)
from trocar.injection.published import measures, published, table
from trocar.injection.ways_out import Aetiology

#: What the abstracts print, in percent of the vertebrae or patients, to the digit they print.
PRINTED = [
    (TANG_SOLID, [76.3, 31.7, 52.5, 12.2, 6.5], 0.05),
    (TANG_CLEFT, [67.6, 20.9, 24.5, 25.9, 16.5], 0.05),
    (ZHANG, [56.63, 15.93, 9.73, 30.97], 0.01),
    (MAYO, [82, 45, 35, 20, 18], 0.5),
]


@pytest.mark.parametrize(("study", "percent", "digits"), PRINTED, ids=["no cleft", "cleft", "metastases", "mixed"])
def test_the_counts_give_the_percentages_in_print(study: Study, percent: list[float], digits: float) -> None:
    found = [100.0 * r.share.value for r in RATES if r.study is study]
    assert found == pytest.approx(percent, abs=digits)


def test_the_intervals_are_those_in_print() -> None:
    """VERTOS II prints 80 % (70 to 87), the Mayo series 82 (76 to 87) and 20 (15 to 26)."""
    shares = {(r.study, r.name): r.share for r in RATES}
    printed = {(VENMANS, "any"): (70, 87), (MAYO, "any"): (76, 87), (MAYO, "epidural"): (15, 26)}
    for key, bounds in printed.items():
        assert [100.0 * b for b in shares[key].interval] == pytest.approx(bounds, abs=1.0)


def test_every_rate_says_what_was_counted_and_where_it_is_from() -> None:
    assert all(0 <= r.events <= r.study.n and r.study.source and r.routes for r in RATES)
    assert len({(r.study, r.name) for r in RATES}) == len(RATES)
    for study in {r.study for r in RATES}:
        whole = [r.events for r in RATES if r.study is study and r.any_leak]
        assert all(r.events <= w for w in whole for r in RATES if r.study is study)


def test_a_fracture_is_told_from_a_tumour() -> None:
    fracture = published(Aetiology.OSTEOPOROTIC, Augmentation.VERTEBROPLASTY)
    tumour = published(Aetiology.METASTASIS, Augmentation.VERTEBROPLASTY)
    assert {r.study.aetiology for r in fracture} == {Aetiology.OSTEOPOROTIC, None}
    assert {r.study.aetiology for r in tumour} == {Aetiology.METASTASIS, None}
    assert all(r.study.procedure is not Augmentation.KYPHOPLASTY for r in fracture)
    assert [r.study.aetiology for r in fracture][-1] is None


def test_a_balloon_is_told_from_a_needle_where_anybody_counted() -> None:
    fracture = published(Aetiology.OSTEOPOROTIC, Augmentation.KYPHOPLASTY)
    assert {r.study.procedure for r in fracture} == {Augmentation.KYPHOPLASTY, Augmentation.EITHER}
    tumour = published(Aetiology.METASTASIS, Augmentation.KYPHOPLASTY)  # nobody did: the needle's, by their name
    assert {r.study.procedure for r in tumour} == {Augmentation.VERTEBROPLASTY}


def test_series_of_a_kind_stand_beside_one_another() -> None:
    found = {m.name: m for m in measures(published(Aetiology.OSTEOPOROTIC, Augmentation.VERTEBROPLASTY))}
    epidural = found["leak_rate_epidural_published"]
    kept = [r for r in RATES if r.routes == CANAL and r.study.aetiology is Aetiology.OSTEOPOROTIC]
    kept = [
        r for r in kept if r.study.procedure is Augmentation.VERTEBROPLASTY and r.study.modality is not Modality.X_RAY
    ]
    assert epidural.value == pytest.approx(sum(r.events for r in kept) / sum(r.study.n for r in kept))
    assert (epidural.low, epidural.high) == (min(r.share.value for r in kept), max(r.share.value for r in kept))
    assert epidural.interval == "lowest and highest series"
    assert "Acta Radiol" not in epidural.method  # counted per patient
    assert all(m.name.endswith("_published") and m.unit == "1" for m in found.values())
    assert all(m.low <= m.value <= m.high for m in found.values())


def test_a_single_series_has_its_own_interval() -> None:
    found = {m.name: m for m in measures(published(Aetiology.METASTASIS, Augmentation.VERTEBROPLASTY))}
    canal = found["leak_rate_epidural_published"]
    assert canal.value == pytest.approx(18 / 113)
    assert canal.interval == "95 %"
    assert canal.low < canal.value < canal.high


def test_radiographs_and_patients_are_not_mixed_with_vertebrae_on_ct() -> None:
    patient = Study("A", Aetiology.METASTASIS, Augmentation.EITHER, Unit.PATIENT, 10, Modality.CT)
    film = Study("B", Aetiology.METASTASIS, Augmentation.EITHER, Unit.VERTEBRA, 10, Modality.X_RAY)
    assert measures([Rate(patient, "any", ANY, 5), Rate(film, "any", ANY, 1)]) == ()


def test_the_table_has_a_row_for_each_rate() -> None:
    rates = published(Aetiology.METASTASIS, Augmentation.VERTEBROPLASTY)
    columns = table(rates)
    assert {len(c) for c in columns.values()} == {len(rates)}
    assert columns["events"][0] == 64
    assert columns["rate_percent"][0] == pytest.approx(56.63, abs=0.01)
    assert columns["low_percent"][0] < columns["rate_percent"][0] < columns["high_percent"][0]
