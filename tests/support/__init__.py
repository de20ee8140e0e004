"""The parts of the system as objects, so that a test reads as prose."""
