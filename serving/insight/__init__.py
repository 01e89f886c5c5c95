"""What a department reads every week: pure functions on feature and score tables."""
