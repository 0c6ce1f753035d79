"""The demo: the main job on a real model, through the same doors that a user takes."""
