"""Pure rules: no I/O, no threads, no clock. Property tests live here."""
