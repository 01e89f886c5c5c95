"""Features and labels become fitted, calibrated, compared models."""
