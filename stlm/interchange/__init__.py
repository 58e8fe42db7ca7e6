"""To and from Hugging Face layouts: published bodies inside our networks, and our networks as published models."""
