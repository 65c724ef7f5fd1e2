from benchmark.interruption import catch_early_interruption

catch_early_interruption()
