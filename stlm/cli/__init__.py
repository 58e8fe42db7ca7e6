"""The command line: one file a command, each of which reads, calls the library, and prints."""
