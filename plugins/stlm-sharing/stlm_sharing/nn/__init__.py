"""The networks behind the components, in plain PyTorch."""
