"""What predictions are worth: metrics, intervals, calibration. Fits nothing, draws nothing."""
