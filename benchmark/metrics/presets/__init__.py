"""Which frames and objects count, by name: one small versioned file for each evaluator we know."""
