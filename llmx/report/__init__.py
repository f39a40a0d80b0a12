"""What a run tells people and machines: folded from events, never in the data path."""
