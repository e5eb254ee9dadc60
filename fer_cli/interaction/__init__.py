"""From recognised expressions to interaction in teaching."""
