"""From expressions to interaction: what a platform does with recognised expressions, and how their effect is tested."""
