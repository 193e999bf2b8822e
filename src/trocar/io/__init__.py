"""The one place that opens files. Floor 7."""
