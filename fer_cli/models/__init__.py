"""Networks in plain PyTorch, with torchvision's parameter names."""
