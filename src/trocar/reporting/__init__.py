"""Reports: figures, HTML and PDF from one :class:`Report`. Floor 6."""
