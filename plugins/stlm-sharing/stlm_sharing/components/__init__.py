"""What specs may say: one file a component."""
