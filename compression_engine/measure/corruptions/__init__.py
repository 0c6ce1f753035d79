"""Damages of inputs by modality: what can happen to images, sound, records and texts on their way to a model."""
