"""What models answered, row by row: asked, kept, written down, and computed from again."""
