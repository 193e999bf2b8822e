"""The one injection with every unknown at its middle: what was planned is told apart from what went in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trocar.injection.nominal import nominal
from trocar.measure import Status

from . import sites


def test_what_should_go_in_is_told_where_less_did() -> None:
    own = sites.site()
    for site, all_of_it in ((own, True), (replace(own, limit_pa=1e5), False)):
        found = nominal(site)
        told = {m.name: m for m in found.measures()}
        assert (found.status is Status.SUCCESS) is all_of_it
        assert told["cement_planned"].value == site.volume_ml
        assert (told["cement_injected"].value == pytest.approx(site.volume_ml)) is all_of_it
        assert told["cement_injected"].value == found.injected_ml
