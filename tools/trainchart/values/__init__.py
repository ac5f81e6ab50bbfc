"""Values: their typed models, reading and judging files of them, and presets."""
