def _getsize(self, text, *arguments, **options):
    """What Pillow 9 had: the width and the height of a text."""
    _, _, right, bottom = self.getbbox(text, *arguments, **options)
    return right, bottom


FreeTypeFont.getsize = _getsize  # noqa: F821
