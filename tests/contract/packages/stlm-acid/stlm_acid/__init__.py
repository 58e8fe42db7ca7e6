"""Components of a third party: the declarations in `components`, the PyTorch behind them in `nn`."""
