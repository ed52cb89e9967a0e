"""What follows from a verdict: cases, actions by policy, the flood guard."""
