"""The steps of a recipe at work: what they are handed, what they look at, what each leaves behind."""
