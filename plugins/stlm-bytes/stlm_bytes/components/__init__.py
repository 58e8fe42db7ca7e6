"""What specs may say."""
