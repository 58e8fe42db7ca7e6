"""Learning-rate schedules: the rate of each optimizer step."""
