"""Generation: from a prompt to new text, token by token."""
