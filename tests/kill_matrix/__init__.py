"""Each program killed, frozen or starved at random moments: `make kill-matrix ROUNDS=150`."""
