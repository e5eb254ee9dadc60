"""fer: experiments and ablations for facial-expression recognition in online teaching."""

__version__ = "0.2.0"
