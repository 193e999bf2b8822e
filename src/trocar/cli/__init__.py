"""The command line: a thin face on the library. Results on standard output, progress on standard error."""

from __future__ import annotations

import click

from trocar import __version__
from trocar.cli.demo import demo_command
from trocar.cli.export import export_command
from trocar.cli.guide import guide
from trocar.cli.look import cite_command, info_command, list_command, replay_command, segment_command
from trocar.cli.plan import plan_command
from trocar.cli.shared import Commands
from trocar.cli.simulate import simulate_command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="trocar")
def main() -> None:
    """Plan image-guided, minimally invasive treatment of the spine from CT and labels.

    Research software, not a medical device. Exit codes: 0 done, 1 the images or the anatomy do not
    allow it, 2 the command was not understood.
    """


for _command in (
    plan_command,
    simulate_command,
    guide,
    export_command,
    demo_command,
    info_command,
    cite_command,
    replay_command,
    segment_command,
    list_command,
):
    main.add_command(_command)
