"""Kernels: arrays and spacings in, arrays out. Knows no patient and opens no file."""
