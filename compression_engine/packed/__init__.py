"""Models as they are stored and sent: every byte comes back, fewer bytes lie there. Nothing here makes a model run faster."""
