"""The declarations: options, rules and docs, one file a component; none imports torch."""
