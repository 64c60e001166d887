"""Pictures and packets: pre-roll ring, fragmenter, mux, picture preparation."""
