"""Embedded faces: identities, expressions and a renderer, on meshes of a parametric human model (MakeHuman's CC0 data)."""
