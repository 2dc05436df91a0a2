"""What is true? Pure rules: no await, files, clock, environment or randomness."""
