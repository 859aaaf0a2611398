"""Sound: decode, prepare, alter, measure, synthesise. Knows no corpus."""
