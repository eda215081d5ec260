"""The command line: parse, hand over to a stage, print. Nothing heavy is imported before a command runs."""
