"""One file per procedure; the folder is scanned by :func:`trocar.treatment.procedures`. Floor 5."""
