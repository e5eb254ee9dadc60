"""From recognised expressions to interaction: emotion HMM, incentive factors, learning status, strategies, covariance analysis."""
