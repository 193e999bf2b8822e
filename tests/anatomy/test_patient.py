"""Which vertebrae are whole, what a cut one says, and what the anatomy carries along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trocar.anatomy.labels import Labels, split
from trocar.anatomy.levels import Level
from trocar.anatomy.patient import build_anatomy
from trocar.anatomy.schemes import scheme
from trocar.errors import LevelError
from trocar.geometry import Side
from trocar.measure import Finding, Severity
from trocar.volume import Volume

from .vertebra_cases import read_phantom, read_scan, spec, turned


def levels(text: str) -> set[Level]:
    return {Level(n) for n in text.split()}


class TestWhole:
    def test_chest(self, shared_data: Path) -> None:
        """T9 ends one slice below the top; L2's arch is cut below; T8 and L3 are cut through their bodies."""
        anatomy = read_scan(shared_data, "chest")[1]
        assert set(anatomy.whole_levels) == levels("T9 T10 T11 T12 L1 L2")
        assert set(anatomy.vertebrae) == levels("T7 T8 T9 T10 T11 T12 L1 L2 L3")
        arch = [f for f in anatomy.vertebra("L2").findings if "arch" in f.text]
        assert [f.severity for f in arch] == [Severity.CAUTION]
        assert "lower border" in arch[0].text
        with pytest.raises(LevelError, match="lower border of the scan cuts the body of L3"):
            anatomy.vertebra("L3")
        with pytest.raises(LevelError, match="T7 cannot be used"):
            anatomy.vertebra("T7")

    @pytest.mark.parametrize("name", ["abdomen", "abdomen, v2"])
    def test_abdomen(self, shared_data: Path, name: str) -> None:
        """L1 to L5 under either label version; T12 is cut above; S1 is not a vertebra to plan on."""
        anatomy = read_scan(shared_data, name)[1]
        assert set(anatomy.whole_levels) == levels("L1 L2 L3 L4 L5")
        with pytest.raises(LevelError, match="upper border of the scan cuts the body of T12"):
            anatomy.vertebra("T12")
        # a bright spot in L1, seen in the slices
        assert anatomy.vertebra("L1").measure("blastic_volume").value == pytest.approx(0.8, abs=0.4)

    def test_twenty_slices_hold_no_whole_vertebra(self, shared_data: Path) -> None:
        anatomy = read_scan(shared_data, "twenty slices")[1]
        assert anatomy.vertebrae
        assert anatomy.whole_levels == ()
        for vertebra in anatomy.vertebrae.values():
            stops = [f for f in vertebra.findings if f.severity is Severity.STOP]
            assert stops
            assert any("border" in f.text for f in stops)

    @pytest.mark.parametrize(
        ("view_mm", "whole", "told"),
        [
            ((90.0, 200.0, 140.0), True, ""),
            ((90.0, 120.0, 140.0), True, "back border of the scan cuts the arch"),
            ((30.0, 200.0, 140.0), False, "lower border of the scan cuts the body"),
            ((90.0, 200.0, 30.0), False, "right border and the left border of the scan cut"),
        ],
    )
    def test_field_of_view(self, view_mm: tuple[float, float, float], whole: bool, told: str) -> None:
        """Body and pedicles count; a cut arch is a caution."""
        found = read_phantom(spec("L1", field_of_view_mm=view_mm))[1].vertebrae[Level.L1]
        texts = " ".join(f.text for f in found.findings)
        assert found.whole is whole
        assert told in texts
        assert whole == (not any(f.severity is Severity.STOP for f in found.findings))

    def test_a_cut_body_is_not_measured(self) -> None:
        """No height, no grade, no density of half a body."""
        found = read_phantom(spec("L1", field_of_view_mm=(30.0, 200.0, 140.0)))[1].vertebrae[Level.L1]
        assert found.measures == ()
        assert np.isnan(found.heights.anterior.value)
        assert "not whole" in found.heights.anterior.method

    def test_a_scan_whose_header_turns_the_patient_round_is_refused(self) -> None:
        """Front and back, and so left and right, exchanged in the affine: the bone itself tells."""
        drawn, _ = read_phantom(spec("L1", "L2", "L3"))
        labels = split(drawn.labels, scheme("totalseg-v2"))
        half_turn = np.diag([-1.0, -1.0, 1.0])
        found = build_anatomy(*turned(drawn.ct, labels, half_turn, np.zeros(3)))
        assert found.whole_levels == ()
        with pytest.raises(LevelError, match="spinous process points to the front"):
            found.vertebra("L2")

    def test_a_crumb_does_no_harm(self) -> None:
        drawn, _ = read_phantom(spec("L1", "L2", "L3"))
        labels = split(drawn.labels, scheme("totalseg-v2"))
        one = labels.vertebrae[Level.L1]
        crumb = Volume(np.ones((1, 1, 1), dtype=bool), one.affine, one.frame_of_reference, "mask")
        found = build_anatomy(drawn.ct, replace(labels, vertebrae={**labels.vertebrae, Level.T12: crumb}))
        assert not found.vertebrae[Level.T12].whole
        assert "too little of it" in found.vertebrae[Level.T12].findings[0].text
        assert set(found.whole_levels) >= levels("L1 L2 L3")

    def test_a_vertebra_without_a_pedicle_is_not_whole(self) -> None:
        """The right pedicle erased from the mask, as a lytic metastasis does, and the ring open there."""
        drawn, read_before = read_phantom(spec("L1", "L2", "L3"))
        labels = split(drawn.labels, scheme("totalseg-v2"))
        mask = labels.vertebrae[Level.L2]
        before = read_before.vertebra("L2")
        local = before.frame.to_local(mask.world_mm(np.indices(mask.shape).reshape(3, -1).T)).reshape(*mask.shape, 3)
        centre = before.frame.to_local(before.pedicles[Side.RIGHT].axis.point_mm)
        gone = (local[..., 0] < -8.0) & (np.abs(local[..., 1] - centre[1]) < 4.0)
        holed = replace(mask, array=mask.array & ~gone)
        found = build_anatomy(drawn.ct, replace(labels, vertebrae={**labels.vertebrae, Level.L2: holed}))
        vertebra = found.vertebrae[Level.L2]
        assert not vertebra.whole
        assert Side.RIGHT not in vertebra.pedicles
        assert [f.severity for f in vertebra.findings] == [Severity.STOP]
        assert set(found.whole_levels) == levels("L1 L3")


class TestCarriedAlong:
    def test_labels_findings_and_digests(self) -> None:
        drawn, _ = read_phantom(spec("L1", "L2", "L3"))
        labels = split(drawn.labels, scheme("totalseg-v2"))
        told = Finding(Severity.NOTE, "told by the reader")
        labels = replace(labels, findings=(told,), digests=(("mask.nii.gz", "ab12"),))
        anatomy = build_anatomy(drawn.ct, labels)
        assert anatomy.scheme == "totalseg-v2"
        assert told in anatomy.findings
        assert anatomy.digests == (("mask.nii.gz", "ab12"),)
        assert set(labels.structures) <= set(anatomy.structures)
        assert anatomy.skin.same_grid(drawn.ct)
        assert anatomy.derived <= set(anatomy.structures)
        assert not anatomy.derived & set(labels.structures)

    def test_no_vertebra_gives_no_canal(self) -> None:
        drawn, _ = read_phantom(spec("L1", "L2", "L3"))
        empty = build_anatomy(drawn.ct, Labels("totalseg-v2", {}))
        assert empty.vertebrae == {}
        assert empty.derived == frozenset()

    def test_levels_are_in_order(self) -> None:
        _, anatomy = read_phantom(spec("T11", "T12", "L1"))
        order = [v.order for v in anatomy.vertebrae]
        assert order == sorted(order)
