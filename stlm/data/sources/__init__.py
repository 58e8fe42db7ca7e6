"""Where documents come from: memory, files, and Hugging Face's hub."""
