"""The three loops: recorder, tagger, uplink. `step()` decides, the loop only waits."""
