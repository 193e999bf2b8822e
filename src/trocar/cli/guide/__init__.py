"""``trocar guide``: what the C-arm shows, where the vertebra and the needle are, and whether cement leaks."""

from __future__ import annotations

import click

from trocar.cli.guide.leak import leak_command
from trocar.cli.guide.register import register_command
from trocar.cli.guide.simulate import simulate_command
from trocar.cli.guide.track import track_command


@click.group("guide")
def guide() -> None:
    """Follow a planned treatment on fluoroscopy: simulated, recorded or live.

    Images are DICOM X-ray runs that say where the C-arm stood. Nothing here replaces looking at the screen.
    """


for _command in (simulate_command, register_command, track_command, leak_command):
    guide.add_command(_command)
