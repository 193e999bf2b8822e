"""The patient's bone as a solid: where the anatomy meets the kernels of ``trocar.physics``."""
