"""Region similarity J and boundary accuracy F: the definition, the engines that count them, and around them.

from benchmark.metrics import score_tracks

scores = score_tracks(truth, predicted)  # run-length lists, arrays, tensors or PNG folders
print(scores.j_mean, scores.f_mean, scores.jf_mean)
"""

from benchmark.metrics.families import CountedTrack
from benchmark.metrics.preset_rules import load_preset, preset_names
from benchmark.metrics.running_scores import RunningResult, RunningScores
from benchmark.metrics.track_scoring import TrackScores, score_tracks

__all__ = [
    "CountedTrack",
    "RunningResult",
    "RunningScores",
    "TrackScores",
    "load_preset",
    "preset_names",
    "score_tracks",
]
