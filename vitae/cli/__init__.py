"""The command line, one file a command: `vitae train | evaluate | table | scores | bench | data`."""
