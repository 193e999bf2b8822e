"""Cement on its way into a vertebra: what it flows through, the ways out, and what comes of it."""
