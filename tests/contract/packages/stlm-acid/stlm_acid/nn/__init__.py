"""What the declarations build: plain PyTorch, which never sees a spec."""
