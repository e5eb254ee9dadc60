"""From recognised expressions to interaction: emotion HMM, incentives, learning status, strategies, ANCOVA."""
