"""The chapters' analyses, one module each. Draws nothing."""
