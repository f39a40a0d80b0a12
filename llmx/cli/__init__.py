"""The command line: thin faces over the library, no logic that a library user would miss."""
