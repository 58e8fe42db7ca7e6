"""Documents of data sets on the Hugging Face hub."""
