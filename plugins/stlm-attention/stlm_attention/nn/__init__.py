"""The networks behind the declarations, in plain PyTorch."""
