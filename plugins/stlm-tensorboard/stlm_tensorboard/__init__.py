"""The numbers of an stlm run as event files of TensorBoard."""
